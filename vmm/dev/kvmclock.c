/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The KVM clock (Linux Documentation/virt/kvm/x86/msr.rst, cpuid.rst): a page of guest memory in which a
 * guest reads VM time off its TSC, exactly, without an exit.
 *
 * The numbers are those of vtime's own formula, so the guest's clock is VM time. They change
 * while VM time stands still (pause, move): start() writes them anew; and when the vCPU writes its TSC:
 * VM time goes on as if it had not. The guest reads between two equal, even versions; the version
 * is odd while the rest is being written.
 */
#include "vmm/dev/kvmclock.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

#define MSR_WALL_CLOCK_OLD 0x11
#define MSR_SYSTEM_TIME_OLD 0x12
#define MSR_WALL_CLOCK 0x4b564d00
#define MSR_SYSTEM_TIME 0x4b564d01

#define SYSTEM_TIME_ENABLED BIT(0)
#define FLAG_TSC_STABLE BIT(0)

STATE_BEGIN
struct kvmclock_state {
	u64 system_time;     /* the MSRs, as written */
	u64 wall_clock;
	u32 version;         /* of the guest's structure; even */
	u32 wall_version;
};
STATE_END

struct kvmclock_wires {
	char none;
};

/* struct pvclock_vcpu_time_info and pvclock_wall_clock of msr.rst. */
struct PACKED kvmclock_time {
	u32 version;
	u32 pad;
	u64 tsc_timestamp;
	u64 system_time_ns;
	u32 tsc_to_system_mul;
	s8 tsc_shift;
	u8 flags;
	u8 pad2[2];
};
_Static_assert(sizeof(struct kvmclock_time) == 32, "msr.rst: the structure has 32 bytes");

struct PACKED kvmclock_wall {
	u32 version;
	u32 seconds;
	u32 ns;
};
_Static_assert(sizeof(struct kvmclock_wall) == 12, "msr.rst: the structure has 12 bytes");

static gpa_t time_gpa(const struct kvmclock_state *state)
{
	return GPA(state->system_time & ~SYSTEM_TIME_ENABLED);
}

/* The version is written odd, then with all the rest, then even. False if gpa is not memory. */
static bool publish(struct device *dev, gpa_t gpa, u32 *version, void *structure, size_t bytes)
{
	struct gmem *gmem = &dev->vm->gmem;

	*(u32 *)structure = *version + 1;
	if (gmem_write(gmem, gpa, structure, sizeof(u32)) < 0)
		return false;
	barrier();
	if (gmem_write(gmem, gpa, structure, bytes) < 0)
		return false;
	barrier();
	*version += 2;
	return gmem_write(gmem, gpa, version, sizeof(u32)) == 0;
}

static bool write_time(struct device *dev)
{
	struct kvmclock_state *state = dev->state;
	struct kvmclock_time time = { .flags = FLAG_TSC_STABLE };
	struct vtime_scale scale;

	vtime_get_scale(dev->vm, &scale);
	time.tsc_timestamp = scale.tsc_base + dev->vm->vcpu[dev->instance]->tsc_adjust;
	time.system_time_ns = scale.ns_base;
	time.tsc_to_system_mul = scale.mul;
	time.tsc_shift = scale.shift;
	return publish(dev, time_gpa(state), &state->version, &time, sizeof(time));
}

/* Wall time at VM time 0; the guest adds the system time. */
static bool write_wall(struct device *dev, gpa_t gpa)
{
	struct kvmclock_state *state = dev->state;
	u64 ns = vtime_wall_base_ns(dev->vm);
	struct kvmclock_wall wall = { .seconds = (u32)(ns / NS_PER_SEC), .ns = (u32)(ns % NS_PER_SEC) };

	return publish(dev, gpa, &state->wall_version, &wall, sizeof(wall));
}

/* Four-byte alignment is what the guest promises; what is not memory is #GP. */
static bool is_good_gpa(struct device *dev, u64 gpa, u64 bytes)
{
	return IS_ALIGNED(gpa, 4) && gmem_is_ram(&dev->vm->gmem, GPA(gpa), bytes);
}

static bool set_system_time(struct device *dev, u64 value)
{
	struct kvmclock_state *state = dev->state;

	if (value & SYSTEM_TIME_ENABLED) {
		if (!is_good_gpa(dev, value & ~SYSTEM_TIME_ENABLED, sizeof(struct kvmclock_time)))
			return false;
	}
	state->system_time = value;
	return !(value & SYSTEM_TIME_ENABLED) || write_time(dev);
}

static bool set_wall_clock(struct device *dev, u64 value)
{
	struct kvmclock_state *state = dev->state;

	if (value && !is_good_gpa(dev, value, sizeof(struct kvmclock_wall)))
		return false;
	state->wall_clock = value;
	return !value || write_wall(dev, GPA(value));
}

static bool is_system_time(u32 msr) { return msr == MSR_SYSTEM_TIME || msr == MSR_SYSTEM_TIME_OLD; }

static bool kvmclock_msr_read(struct device *dev, u32 index, u64 *value)
{
	const struct kvmclock_state *state = dev->state;

	*value = is_system_time(index) ? state->system_time : state->wall_clock;
	return true;
}

static bool kvmclock_msr_write(struct device *dev, u32 index, u64 value)
{
	if (is_system_time(index))
		return set_system_time(dev, value);
	return set_wall_clock(dev, value);
}

static int kvmclock_check(const void *from)
{
	const struct kvmclock_state *state = from;

	/* The addresses need no check: gmem_write refuses what is not memory. */
	return (state->version | state->wall_version) & 1 ? -EINVAL : 0;
}

static int kvmclock_attach(struct device *dev)
{
	int err = bus_claim_msrs(dev, MSR_WALL_CLOCK, 2);

	return err ? err : bus_claim_msrs(dev, MSR_WALL_CLOCK_OLD, 2);
}

static void kvmclock_reset(struct device *dev)
{
	*(struct kvmclock_state *)dev->state = (struct kvmclock_state){ .version = 0 };
}

static void kvmclock_start(struct device *dev)
{
	if (((struct kvmclock_state *)dev->state)->system_time & SYSTEM_TIME_ENABLED)
		write_time(dev);
}

void kvmclock_update(struct vcpu *vcpu)
{
	struct device *dev = vm_device(vcpu->vm, &kvmclock_type, vcpu->index);

	if (dev && dev->is_started)
		kvmclock_start(dev);
}

static void kvmclock_stop(struct device *dev) { (void)dev; }

DEVICE_TYPE(kvmclock, 1, 24, .is_per_vcpu = true, .msr_read = kvmclock_msr_read,
	    .msr_write = kvmclock_msr_write);
