//go:build !asan

#include "textflag.h"

// func onSegvPC() uintptr
TEXT ·onSegvPC(SB), NOSPLIT, $0-8
	MOVD $onSegv<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// onSegv has the C convention: R0 signal, R1 siginfo, R2 ucontext. It keeps
// every register that a C function keeps, and those three. Go code uses no
// vector register here.
//
// siginfo: the address at 16. ucontext: the machine context begins at 176 with
// the fault address; x0 to x30, sp and pc follow. The kind of the access is
// not looked at.
TEXT onSegv<>(SB), NOSPLIT|TOPFRAME|NOFRAME, $0
	SUB  $160, RSP
	STP  (R29, R30), 32(RSP)
	STP  (R0, R1), 48(RSP)
	STP  (R2, R19), 64(RSP)
	STP  (R20, R21), 80(RSP)
	STP  (R22, R23), 96(RSP)
	STP  (R24, R25), 112(RSP)
	STP  (R26, R27), 128(RSP)
	MOVD g, 144(RSP)
	MOVD 16(R1), R3
	MOVD R3, 8(RSP)
	MOVD 440(R2), R3
	MOVD R3, 16(RSP)
	MOVD ZR, 24(RSP)
	BL   ·segv(SB)
	MOVD 144(RSP), g
	LDP  128(RSP), (R26, R27)
	LDP  112(RSP), (R24, R25)
	LDP  96(RSP), (R22, R23)
	LDP  80(RSP), (R20, R21)
	LDP  64(RSP), (R2, R19)
	LDP  48(RSP), (R0, R1)
	LDP  32(RSP), (R29, R30)
	ADD  $160, RSP
	MOVD ·goSegv(SB), R3
	JMP  (R3)
