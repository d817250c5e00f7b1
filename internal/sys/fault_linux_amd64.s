//go:build !asan

#include "textflag.h"

// func onSegvPC() uintptr
TEXT ·onSegvPC(SB), NOSPLIT, $0-8
	LEAQ onSegv<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// onSegv has the C convention: DI signal, SI siginfo, DX ucontext. It keeps
// every register that a C function keeps, and those three.
//
// siginfo: the address at 16. ucontext: the saved registers from 40 on, of
// which RIP is number 16 and the page fault's error code number 19; its bit 1
// says write.
TEXT onSegv<>(SB), NOSPLIT|TOPFRAME|NOFRAME, $0
	PUSHQ BP
	PUSHQ BX
	PUSHQ R12
	PUSHQ R13
	PUSHQ R14
	PUSHQ R15
	PUSHQ DI
	PUSHQ SI
	PUSHQ DX
	NOP   SP            // vet does not follow the stack from here
	ADJSP $24
	MOVQ  16(SI), AX
	MOVQ  AX, 0(SP)
	MOVQ  168(DX), AX
	MOVQ  AX, 8(SP)
	MOVQ  192(DX), AX
	SHRQ  $1, AX
	ANDQ  $1, AX
	INCQ  AX            // AccessRead, AccessWrite
	MOVQ  AX, 16(SP)
	CALL  ·segv(SB)
	ADJSP $-24
	POPQ  DX
	POPQ  SI
	POPQ  DI
	POPQ  R15
	POPQ  R14
	POPQ  R13
	POPQ  R12
	POPQ  BX
	POPQ  BP
	MOVQ  ·goSegv(SB), AX
	JMP   AX
