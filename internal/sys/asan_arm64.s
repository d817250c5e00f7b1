//go:build asan

#include "textflag.h"

// func shadowFill(p, n uintptr, b byte)
TEXT ·shadowFill(SB), NOSPLIT, $0-17
	MOVD  p+0(FP), R0
	MOVD  n+8(FP), R1
	MOVBU b+16(FP), R2
loop:
	CBZ    R1, done
	MOVB.P R2, 1(R0)
	SUB    $1, R1
	B      loop
done:
	RET
