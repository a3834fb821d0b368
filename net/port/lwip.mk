# SPDX-License-Identifier: BSD-2-Clause
# lwIP: which of its files are in the core. IPv4 and TCP over Ethernet, raw API, no threads.

lwip_DIR := third_party/lwip/src
lwip_SOURCES := $(addprefix $(lwip_DIR)/, \
	core/def.c core/inet_chksum.c core/init.c core/ip.c core/mem.c core/memp.c core/netif.c \
	core/pbuf.c core/raw.c core/stats.c core/tcp.c core/tcp_in.c core/tcp_out.c \
	core/ipv4/etharp.c core/ipv4/icmp.c core/ipv4/ip4.c core/ipv4/ip4_addr.c \
	netif/ethernet.c)

# Our port comes first (and is a dependency); lwIP's headers are not ours to keep free of warnings. net/port/libc has
# the four lines of a C library that lwIP asks for.
net_CFLAGS := -Inet/port -isystem net/port/libc -isystem $(lwip_DIR)/include
lwip_CFLAGS := $(net_CFLAGS)

# Compilers leave out of their dependency lists what system headers include.
lwip_USERS := $(lwip_SOURCES) $(wildcard net/*.c net/port/*.c)
$(lwip_USERS:%.c=$(B)/%.o) $(lwip_USERS:%.c=build/host/%.o): $(wildcard net/port/*.h net/port/arch/*.h)
