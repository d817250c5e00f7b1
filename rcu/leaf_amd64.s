//go:build linux

#include "go_asm.h"
#include "funcdata.h"
#include "textflag.h"

// CPU sets AX to the state of the P, or goes to slow.
#define CPU(slow) \
	MOVQ ·leafCPUs(SB), CX; \
	TESTQ CX, CX; \
	JEQ slow; \
	MOVQ (TLS), AX; \
	MOVQ const_offsetM(AX), AX; \
	MOVQ const_offsetP(AX), AX; \
	MOVL const_offsetID(AX), AX; \
	SHLQ $const_lineShift, AX; \
	ADDQ CX, AX

// func leafLock() (state uint64)
TEXT ·leafLock(SB), NOSPLIT|NOFRAME, $0-8
	PCDATA $PCDATA_UnsafePoint, $-2
	CPU(slow)
	CMPL const_cpuReader(AX), $0 // ord:mark
	JEQ  slow
	MOVQ ·index+const_indexWord(SB), DX // ord:index
	MOVQ DX, BX
	ANDQ $const_guardIndex, BX
	INCQ const_cpuLock(AX)(BX*8) // ord:lock
	ORQ  $const_guardLive, DX
	MOVQ DX, state+0(FP)
	RET

slow:
	JMP ·lockPinned(SB)

// func leafUnlock(guard *Guard)
TEXT ·leafUnlock(SB), NOSPLIT|NOFRAME, $0-8
	PCDATA $PCDATA_UnsafePoint, $-2
	MOVQ guard+0(FP), SI
	MOVQ const_guardIdx(SI), DX
	MOVQ DX, BX
	ANDQ $const_guardOpen, BX
	CMPQ BX, $const_guardLive
	JNE  slow
	CPU(slow)
	MOVQ $const_guardDone, const_guardIdx(SI)
	ANDQ $const_guardIndex, DX
	INCQ const_cpuUnlock(AX)(DX*8) // ord:unlock
	RET

slow:
	JMP ·unlockPinned(SB)
