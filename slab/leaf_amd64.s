//go:build linux

#include "go_asm.h"
#include "funcdata.h"
#include "textflag.h"

// SLOT sets AX to the P's slot of the cache in SI, or goes to slow. It changes CX.
#define SLOT(slow) \
	MOVQ ·leafRows(SB), CX; \
	TESTQ CX, CX; \
	JEQ slow; \
	MOVQ (TLS), AX; \
	MOVQ const_offsetM(AX), AX; \
	MOVQ const_offsetP(AX), AX; \
	MOVL const_offsetID(AX), AX; \
	CMPQ AX, (CX); \
	JCC slow; \
	SHLQ $const_pitchShift, AX; \
	ADDQ const_cacheSlots(SI), AX

// PUT is all of a leaf that stores an object in the sheaf which a word of the slot
// names. Where it can't, it leaves the object to pinned.
#define PUT(word, pinned) \
	MOVQ c+0(FP), SI; \
	MOVQ p+8(FP), DX; \
	MOVQ const_cacheBase(SI), DI; \
	SUBQ DI, DX; \
	RORQ $const_unitShift, DX; \
	CMPQ DX, const_cacheUnits(SI); \
	JCC slow; \
	SLOT(slow); \
	MOVL $1, const_slotBusy(AX); \
	MOVL word(AX), BX; \
	SHLQ $const_sheafShift, BX; \
	ADDQ DI, BX; \
	MOVL const_sheafN(BX), CX; \
	CMPL CX, const_sheafCap(BX); \
	JCC full; \
	MOVL DX, const_sheafHead(BX)(CX*4); \
	INCL CX; \
	MOVL CX, const_sheafN(BX); \
	MOVL $0, const_slotBusy(AX); \
	RET; \
full: \
	MOVL $0, const_slotBusy(AX); \
slow: \
	JMP pinned(SB)

// func leafAlloc(c *cache, f gfp.Flags) unsafe.Pointer
TEXT ·leafAlloc(SB), NOSPLIT|NOFRAME, $0-24
	PCDATA $PCDATA_UnsafePoint, $-2
	MOVQ c+0(FP), SI
	CMPL f+8(FP), $const_zeroFlag
	JCC  slow
	MOVQ const_cacheBase(SI), DI
	SLOT(slow)
	MOVL $1, const_slotBusy(AX) // ord:slot-busy
	MOVL const_slotMain(AX), BX // ord:slot-busy
	SHLQ $const_sheafShift, BX
	ADDQ DI, BX
	MOVL const_sheafN(BX), DX
	SUBL $1, DX
	JCS  empty
	MOVL DX, const_sheafN(BX)
	MOVL const_sheafHead(BX)(DX*4), BX
	SHLQ $const_unitShift, BX
	ADDQ DI, BX
	MOVL $0, const_slotBusy(AX) // ord:slot-exit
	MOVQ BX, ret+16(FP)
	RET

empty:
	MOVL $0, const_slotBusy(AX) // ord:slot-exit

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
