//go:build asan

#include "textflag.h"

// func shadowFill(p, n uintptr, b byte)
TEXT ·shadowFill(SB), NOSPLIT, $0-17
	MOVQ    p+0(FP), DI
	MOVQ    n+8(FP), CX
	MOVBLZX b+16(FP), AX
	CLD
	REP
	STOSB
	RET
