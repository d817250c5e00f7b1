//go:build linux

#include "go_asm.h"
#include "funcdata.h"
#include "textflag.h"

// func leafP() int32
TEXT ·leafP(SB), NOSPLIT|NOFRAME, $0-4
	PCDATA $PCDATA_UnsafePoint, $-2
	MOVD const_OffsetM(g), R0
	MOVD const_OffsetP(R0), R0
	MOVW const_OffsetID(R0), R0
	MOVW R0, ret+0(FP)
	RET
