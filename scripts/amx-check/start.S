// From the boot loader (Multiboot 1, 32 bits) to 64 bits with AVX-512 and tiles, then to run() in check.c.
.set MAGIC, 0x1BADB002
.set FLAGS, 3
.section .multiboot, "a"
.align 4
.long MAGIC, FLAGS, -(MAGIC + FLAGS)

.section .bss
.align 4096
level4: .skip 4096
level3: .skip 4096
level2: .skip 4096
.align 64
stack: .skip 1 << 20
stack_end:

.section .data
.align 16
segments:
  .quad 0
  .quad 0x00AF9A000000FFFF  // code, 64 bits
  .quad 0x00CF92000000FFFF  // data
segments_place:
  .word 23
  .long segments

.section .text
.code32
.global start
start:
  cli
  mov $stack_end, %esp
  // The first gigabyte, each address to itself, in pages of 2 MB.
  mov $level3 + 3, %eax
  mov %eax, level4
  mov $level2 + 3, %eax
  mov %eax, level3
  mov $0x83, %eax
  mov $level2, %edi
  mov $512, %ecx
1:
  mov %eax, (%edi)
  add $0x200000, %eax
  add $8, %edi
  loop 1b
  mov $level4, %eax
  mov %eax, %cr3
  mov %cr4, %eax
  or $0x40620, %eax         // large addresses, SSE, XSAVE
  mov %eax, %cr4
  mov $0xC0000080, %ecx     // EFER: 64 bits
  rdmsr
  or $0x100, %eax
  wrmsr
  mov %cr0, %eax
  and $~4, %eax             // no emulation of the FPU
  or $0x80000002, %eax      // pages
  mov %eax, %cr0
  lgdt segments_place
  ljmp $8, $in_64_bits

.code64
in_64_bits:
  mov $16, %ax
  mov %ax, %ds
  mov %ax, %es
  mov %ax, %ss
  xor %ecx, %ecx
  xor %edx, %edx
  mov $0x600E7, %eax        // x87, SSE, AVX, AVX-512, tiles
  xsetbv
  mov $stack_end, %rsp
  call run
2:
  hlt
  jmp 2b
