# SPDX-License-Identifier: BSD-2-Clause
#
# make          build/tern.elf (the core) and build/BOOTX64.EFI (loader and core in one file)
# make check    host tests, layering, state layouts, static checks: under a minute
# make test     everything, what CI runs; installs what it misses (tools/setup)
# make demo     two Terns, one guest, one move
# make bench image fuzz soak objects files guests clean
#
# V=1 shows commands. CC=clang builds in build-clang/. FILES="a b" fills build/files.cpio.

CC := gcc
LD := ld
IS_CLANG := $(findstring clang,$(notdir $(CC)))
B := build$(if $(IS_CLANG),-clang)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -rR -j$(shell nproc)
endif
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

# --- The core ---------------------------------------------------------------------------

CORE_C := $(wildcard kernel/*.c arch/*.c arch/*/*.c net/*.c net/port/*.c vmm/*.c vmm/*/*.c \
	migrate/*.c) boot/pvh.c boot/cpio.c boot/mem_map.c
CORE_S := $(wildcard arch/*.S arch/*/*.S) boot/pvh.S

# Each may set NAME_SOURCES (third-party files to compile), NAME_CFLAGS (flags for them) and
# net_CFLAGS or vmm_CFLAGS (where that folder finds the headers; use -isystem).
-include net/port/lwip.mk vmm/zydis.mk
THIRD_PARTY_C := $(lwip_SOURCES) $(zydis_SOURCES)

WARNINGS := -Wall -Wextra -Werror
FREESTANDING := -ffreestanding -nostdinc -isystem $(shell $(CC) -print-file-name=include)
CFLAGS := -std=gnu11 -O2 -g $(FREESTANDING) -I. \
	-mno-red-zone -mgeneral-regs-only -mcmodel=kernel -fno-pic -fno-pie -fno-common \
	-fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
	-fno-strict-aliasing -fcf-protection=none
LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none \
	--no-warn-rwx-segments -T linker.ld

# A loop that is memset must not become a call of memset inside memset.
ifeq ($(IS_CLANG),)
$(B)/kernel/string.o: CFLAGS += -fno-tree-loop-distribute-patterns
endif
$(B)/net/%.o: CFLAGS += $(net_CFLAGS)
$(B)/vmm/%.o: CFLAGS += $(vmm_CFLAGS)
$(B)/third_party/lwip/%.o: CFLAGS += $(lwip_CFLAGS)
$(B)/third_party/zydis/%.o $(B)/third_party/zycore/%.o: CFLAGS += $(zydis_CFLAGS)
$(B)/third_party/%: WARNINGS := -w

OBJECTS := $(CORE_C:%.c=$(B)/%.o) $(CORE_S:%.S=$(B)/%.S.o) $(THIRD_PARTY_C:%.c=$(B)/%.o)

.PHONY: all objects
all: $(B)/tern.elf
objects: $(OBJECTS)

$(B)/%.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(WARNINGS) -MMD -MP -c $< -o $@

$(B)/%.S.o: %.S Makefile
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(WARNINGS) -D__ASSEMBLER__ -MMD -MP -c $< -o $@

third_party/%:
	@echo "$@ is missing: run tools/setup, which fetches the third-party sources" >&2; exit 1

# Linked twice: the second time with the table of function names that a panic's backtrace reads.
$(B)/tern.first.elf: $(OBJECTS) linker.ld
	$(call say,LD,$@)
	$(Q)$(LD) $(LDFLAGS) -o $@ $(OBJECTS)

$(B)/symbols.S: $(B)/tern.first.elf tools/symbols
	$(Q)nm -n $< | tools/symbols >$@

$(B)/symbols.o: $(B)/symbols.S
	$(Q)$(CC) -c $< -o $@

$(B)/tern.elf: $(B)/tern.first.elf $(B)/symbols.o
	$(call say,LD,$@)
	$(Q)$(LD) $(LDFLAGS) -o $@ $(OBJECTS) $(B)/symbols.o

-include $(OBJECTS:.o=.d)

.PHONY: clean
clean:
	rm -rf build build-clang
