# SPDX-License-Identifier: BSD-2-Clause
# Zydis: the decoder alone, without libc (vmm/insn.c is its only user).

zydis_SOURCES := \
	third_party/zydis/src/Decoder.c \
	third_party/zydis/src/DecoderData.c \
	third_party/zydis/src/MetaInfo.c \
	third_party/zydis/src/Register.c \
	third_party/zydis/src/SharedData.c

zydis_defines := -DZYAN_NO_LIBC -DZYCORE_STATIC_BUILD -DZYDIS_STATIC_BUILD \
	-DZYDIS_DISABLE_FORMATTER -DZYDIS_DISABLE_ENCODER
zydis_includes := -isystem third_party/zydis/include -isystem third_party/zycore-c/include

zydis_CFLAGS := $(zydis_defines) $(zydis_includes) -Ithird_party/zydis/src
vmm_CFLAGS := $(zydis_defines) $(zydis_includes)
