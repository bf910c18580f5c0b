/*
 * fuzz_head.c - the head file: of what its bytes are, the slot that counts, and nothing else.
 *
 * The first byte: 1 the checksum of the header is made right, 2 and 4 those of the slots, 8 magic and version are made
 * right, 16 the bytes between are made zero. Then log id, slots, and bytes to put somewhere else: where u16, what u8.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "log_private.h"

enum { HEADER_CRC = 48, SLOT_CRC = 124 };

static uint8_t *slot(uint8_t *file, unsigned number)
{
	return file + VL_HEAD_SLOT_FIRST * (number + 1);
}

static void make(struct fuzz_input input, uint8_t file[VL_HEAD_SIZE])
{
	uint8_t how = fuzz_take8(&input);
	size_t size = 48;
	const uint8_t *piece;

	memset(file, 0, VL_HEAD_SIZE);
	piece = fuzz_take(&input, &size);
	memcpy(file, piece, size);
	for (unsigned i = 0; i < VL_HEAD_SLOTS; i++) {
		size = VL_HEAD_SLOT_SIZE;
		piece = fuzz_take(&input, &size);
		memcpy(slot(file, i), piece, size);
		if ((how & 16) != 0)
			memset(slot(file, i) + 104, 0, SLOT_CRC - 104);
	}
	while (input.size >= 3) {
		uint16_t at = fuzz_take16(&input);

		file[at % VL_HEAD_SIZE] = fuzz_take8(&input);
	}
	if ((how & 8) != 0) {
		memcpy(file, "VALORIHD", 8);
		vl_put32(file + 8, 1);
		vl_put32(file + 12, 0);
	}
	if ((how & 1) != 0)
		vl_put32(file + HEADER_CRC, vl_crc32c(&vl_kernels_portable, 0, file, HEADER_CRC));
	for (unsigned i = 0; i < VL_HEAD_SLOTS; i++)
		if ((how & 2 << i) != 0)
			vl_put32(slot(file, i) + SLOT_CRC, vl_crc32c(&vl_kernels_portable, 0, slot(file, i), SLOT_CRC));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *file = malloc(VL_HEAD_SIZE), again[VL_HEAD_SLOT_SIZE];
	struct fuzz_disk disk;
	struct vl_head head, other;
	valori_error error;
	valori_code code;
	size_t file_size = VL_HEAD_SIZE;

	must(file != NULL);
	make((struct fuzz_input){data, size}, file);
	if (size > 0 && (data[0] & 64) != 0) /* too short, or too long for what is in it */
		file_size = size < VL_HEAD_SIZE ? VL_HEAD_SIZE - size : 0;
	fuzz_disk_init(&disk);
	fuzz_disk_add(&disk, "d/events.head", file, file_size);
	code = vl_head_read(&disk.os, fuzz_kernels(), "d/events.head", &head, &error);
	must(code == VALORI_OK || code == VALORI_NOT_FOUND || code == VALORI_NEWER);
	disk.piece = 1 + (unsigned)size % 97;
	must(vl_head_read(&disk.os, fuzz_kernels(), "d/events.head", &other, &error) == code);
	if (code == VALORI_OK) {
		bool is_there = false;

		must(file_size == VL_HEAD_SIZE && memcmp(&head, &other, sizeof(head)) == 0);
		must(memcmp(head.log_id, file + 16, 32) == 0 && head.offset >= VL_SEGMENT_HEADER);
		vl_head_slot_encode(&head, fuzz_kernels(), again);
		for (unsigned i = 0; i < VL_HEAD_SLOTS; i++) {
			uint8_t *one = slot(file, i);

			is_there |= memcmp(one, again, sizeof(again)) == 0;
			if (vl_get32(one + SLOT_CRC) == vl_crc32c(fuzz_kernels(), 0, one, SLOT_CRC) &&
			    vl_is_zero(one + 104, SLOT_CRC - 104) && vl_get64(one + 24) >= VL_SEGMENT_HEADER)
				must(head.commits >= vl_get64(one));
		}
		must(is_there);
	}
	fuzz_disk_check(&disk);
	free(file);
	return 0;
}
