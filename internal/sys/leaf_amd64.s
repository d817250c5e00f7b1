//go:build linux

#include "go_asm.h"
#include "funcdata.h"
#include "textflag.h"

// func leafP() int32
TEXT ·leafP(SB), NOSPLIT|NOFRAME, $0-4
	PCDATA $PCDATA_UnsafePoint, $-2
	MOVQ (TLS), AX
	MOVQ const_OffsetM(AX), AX
	MOVQ const_OffsetP(AX), AX
	MOVL const_OffsetID(AX), AX
	MOVL AX, ret+0(FP)
	RET
