/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The largest TCP segment on the wire, per peer.
 *
 * lwIP believes in segments of TCP_MSS bytes (lwipopts.h) that Ethernet does not carry. So
 * that the other end sees honest TCP, whatever it is, the MSS option of each SYN is
 * rewritten: going out it says what our MTU allows; coming in, the peer's true value is kept
 * here, lwIP is told a multiple of it, and net/gso.c cuts by the kept value. CPU 0 only.
 */
#pragma once

#include "kernel/types.h"

struct packet;

/* A received TCP frame: if it is a SYN, learns and tells lwIP the largest multiple up to lwip_max. */
void wire_mss_receive(u8 *frame, const struct packet *packet, u16 mtu, u16 lwip_max);
/*
 * A TCP frame to be sent, checksum not yet done: rewrites a SYN. Returns how much payload
 * each frame on the wire may have.
 */
u16 wire_mss_send(u8 *frame, const struct packet *packet, u16 mtu);
