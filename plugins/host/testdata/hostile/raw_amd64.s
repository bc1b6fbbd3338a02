#include "textflag.h"

// func int80(nr int64) int64
TEXT ·int80(SB), NOSPLIT, $0-16
	MOVQ nr+0(FP), AX
	MOVQ $0, BX
	MOVQ $0, CX
	MOVQ $0, DX
	BYTE $0xCD; BYTE $0x80
	MOVQ AX, ret+8(FP)
	RET

// func rawThread(flags, stack uintptr) int64
// The new thread waits without end, by pause in user space.
TEXT ·rawThread(SB), NOSPLIT, $0-24
	MOVQ flags+0(FP), DI
	MOVQ stack+8(FP), SI
	MOVQ $0, DX
	MOVQ $0, R10
	MOVQ $0, R8
	MOVQ $56, AX
	SYSCALL
	CMPQ AX, $0
	JEQ  child
	MOVQ AX, ret+16(FP)
	RET

child:
	// nanosleep({1e9, 0}) on the new stack, again and again
	SUBQ $32, SP
	MOVQ $1000000000, AX
	MOVQ AX, 0(SP)
	MOVQ $0, AX
	MOVQ AX, 8(SP)
	MOVQ SP, DI
	MOVQ $0, SI
	MOVQ $35, AX
	SYSCALL
	JMP  child
