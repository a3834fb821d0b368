// SPDX-License-Identifier: BSD-2-Clause
//
// The guest's devices that cannot be found by asking: what vmm/platform.c attaches.
// vmm/acpi_tables.c has the fixed hardware; SLP_TYP of \_S5 is ACPI_PM_S5 of vmm/dev/acpi_pm.h.

DefinitionBlock ("", "DSDT", 2, "TERN", "TERNDSDT", 1)
{
    Name (\_S5, Package () { 5, 0, 0, 0 })

    Scope (\_SB)
    {
        Device (PIC)
        {
            Name (_HID, EisaId ("PNP0000"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0020, 0x0020, 0, 0x02)
                IO (Decode16, 0x00A0, 0x00A0, 0, 0x02)
                IO (Decode16, 0x04D0, 0x04D0, 0, 0x02)
                IRQNoFlags () { 2 }
            })
        }

        Device (TIMR)
        {
            Name (_HID, EisaId ("PNP0100"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0040, 0x0040, 0, 0x04)
                IRQNoFlags () { 0 }
            })
        }

        Device (SPKR)
        {
            Name (_HID, EisaId ("PNP0800"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0061, 0x0061, 0, 0x01)
            })
        }

        Device (RTC)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0070, 0x0070, 0, 0x02)
                IRQNoFlags () { 8 }
            })
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 0, 0x08)
                IRQNoFlags () { 4 }
            })
        }

        // Ports that belong to no driver
        Device (BRD)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0080, 0x0080, 0, 0x01)
                IO (Decode16, 0x0092, 0x0092, 0, 0x01)
                IO (Decode16, 0x0600, 0x0600, 0, 0x0C)
                IO (Decode16, 0x0CF9, 0x0CF9, 0, 0x01)
            })
        }
    }
}
