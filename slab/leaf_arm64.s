//go:build linux

#include "go_asm.h"
#include "funcdata.h"
#include "textflag.h"

// SLOT sets R0 to the P's slot of the cache in R5, or goes to slow. It changes R1
// and R2.
#define SLOT(slow) \
	MOVD ·leafRows(SB), R0; \
	CBZ R0, slow; \
	MOVD (R0), R0; \
	MOVD const_offsetM(g), R1; \
	MOVD const_offsetP(R1), R1; \
	MOVWU const_offsetID(R1), R1; \
	CMP R0, R1; \
	BHS slow; \
	MOVD const_cacheSlots(R5), R0; \
	ADD R1<<const_pitchShift, R0, R0

// SHEAF sets R7 to the sheaf that a word of the slot names, by the cache's base in
// R6. busy is set before.
#define SHEAF(word) \
	MOVD $1, R2; \
	MOVW R2, const_slotBusy(R0); \
	MOVWU word(R0), R7; \
	ADD R7<<const_sheafShift, R6, R7; \
	MOVWU const_sheafN(R7), R3

// PUT is all of a leaf that stores an object in the sheaf which a word of the slot
// names. Where it can't, it leaves the object to pinned.
#define PUT(word, pinned) \
	MOVD c+0(FP), R5; \
	MOVD p+8(FP), R8; \
	MOVD const_cacheBase(R5), R6; \
	SUB R6, R8, R8; \
	ROR $const_unitShift, R8, R8; \
	MOVD const_cacheUnits(R5), R2; \
	CMP R2, R8; \
	BHS slow; \
	SLOT(slow); \
	SHEAF(word); \
	MOVWU const_sheafCap(R7), R4; \
	CMPW R4, R3; \
	BHS full; \
	ADD R3<<2, R7, R4; \
	MOVW R8, const_sheafHead(R4); \
	ADD $1, R3, R3; \
	MOVW R3, const_sheafN(R7); \
	MOVW ZR, const_slotBusy(R0); \
	RET; \
full: \
	MOVW ZR, const_slotBusy(R0); \
slow: \
	JMP pinned(SB)

// func leafAlloc(c *cache, f gfp.Flags) unsafe.Pointer
TEXT ·leafAlloc(SB), NOSPLIT|NOFRAME, $0-24
	PCDATA $PCDATA_UnsafePoint, $-2
	MOVD  c+0(FP), R5
	MOVWU f+8(FP), R3
	CMPW  $const_zeroFlag, R3
	BHS   slow
	MOVD  const_cacheBase(R5), R6
	SLOT(slow)
	SHEAF(const_slotMain) // ord:slot-busy
	CBZW  R3, empty
	SUB   $1, R3, R3
	MOVW  R3, const_sheafN(R7)
	ADD   R3<<2, R7, R4
	MOVWU const_sheafHead(R4), R4
	ADD   R4<<const_unitShift, R6, R4
	MOVW  ZR, const_slotBusy(R0) // ord:slot-exit
	MOVD  R4, ret+16(FP)
	RET

empty:
	MOVW ZR, const_slotBusy(R0) // ord:slot-exit

slow:
	JMP ·allocPinned(SB)

// func leafFree(c *cache, p unsafe.Pointer)
TEXT ·leafFree(SB), NOSPLIT|NOFRAME, $0-16
	PCDATA $PCDATA_UnsafePoint, $-2
	PUT(const_slotMain, ·freePinned) // ord:slot-busy, ord:slot-exit

// func leafFreeRCU(c *cache, p unsafe.Pointer)
TEXT ·leafFreeRCU(SB), NOSPLIT|NOFRAME, $0-16
	PCDATA $PCDATA_UnsafePoint, $-2
	PUT(const_slotRCU, ·freeRCUPinned) // ord:slot-busy, ord:slot-exit
