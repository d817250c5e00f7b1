//go:build linux

#include "go_asm.h"
#include "funcdata.h"
#include "textflag.h"

// CPU sets R0 to the state of the P, or goes to slow. It changes R1.
#define CPU(slow) \
	MOVD ·leafCPUs(SB), R0; \
	CBZ R0, slow; \
	MOVD const_offsetM(g), R1; \
	MOVD const_offsetP(R1), R1; \
	MOVWU const_offsetID(R1), R1; \
	ADD R1<<const_lineShift, R0, R0

// func leafLock() (state uint64)
TEXT ·leafLock(SB), NOSPLIT|NOFRAME, $0-8
	PCDATA $PCDATA_UnsafePoint, $-2
	CPU(slow)
	MOVWU const_cpuReader(R0), R2 // ord:mark
	CBZ   R2, slow
	MOVD  ·index+const_indexWord(SB), R3 // ord:index
	AND   $const_guardIndex, R3, R4
	ADD   R4<<3, R0, R0
	MOVD  const_cpuLock(R0), R2
	ADD   $1, R2, R2
	MOVD  R2, const_cpuLock(R0) // ord:lock
	ORR   $const_guardLive, R3, R3
	MOVD  R3, state+0(FP)
	RET

slow:
	JMP ·lockPinned(SB)

// func leafUnlock(guard *Guard)
TEXT ·leafUnlock(SB), NOSPLIT|NOFRAME, $0-8
	PCDATA $PCDATA_UnsafePoint, $-2
	MOVD guard+0(FP), R5
	MOVD const_guardIdx(R5), R3
	AND  $const_guardOpen, R3, R4
	CMP  $const_guardLive, R4
	BNE  slow
	CPU(slow)
	MOVD $const_guardDone, R2
	MOVD R2, const_guardIdx(R5)
	AND  $const_guardIndex, R3, R4
	ADD  R4<<3, R0, R0
	MOVD const_cpuUnlock(R0), R2
	ADD  $1, R2, R2
	MOVD R2, const_cpuUnlock(R0) // ord:unlock
	RET

slow:
	JMP ·unlockPinned(SB)
