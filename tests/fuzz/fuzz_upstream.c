/*
 * fuzz_upstream.c - whatever bytes a file of the Rust system may have: every one of them has an answer.
 *
 * The first byte chooses: 0 the rest is a file; otherwise the rest is cut into events, which get the chain, the
 * checksums and the header that they need to come as far as the state.
 */
#include "../unit/upstream_files.h"

#include "fuzz.h"

static uint64_t read_all(const uint8_t *data, size_t size)
{
	struct vl_upstream_file file = {data, size, "file"};
	struct vl_upstream_reader *reader;
	valori_upstream_event event;
	valori_upstream_report report;
	uint64_t sum = 0;

	if (vl_upstream_reader_new(&up_env, &file, 1, &reader, NULL) != VALORI_OK)
		return 0;
	while (vl_upstream_reader_next(reader, &event, NULL) == VALORI_OK) {
		for (size_t i = 0; event.event.vector != NULL && i < 4 * (size_t)event.dim; i++)
			sum += event.event.vector[i];
		for (size_t i = 0; i < event.event.metadata_size; i++)
			sum += event.event.metadata[i];
		for (size_t i = 0; i < event.event.key_size; i++)
			sum += (uint8_t)event.event.key[i];
	}
	vl_upstream_reader_report(reader, &report);
	vl_upstream_reader_free(reader);
	return sum + report.events;
}

/* Events as a WAL has them: each ends where the next one begins, and has its namespace behind it. */
static void wrap(const uint8_t *data, size_t size, uint32_t version, struct up_file *file)
{
	struct vl_buf event;

	up_begin(file, version, 4, 0, NULL);
	vl_buf_init(&event, &up_env);
	while (size > 0) {
		struct vl_upstream_event decoded;
		size_t used;
		bool empty = data[0] == VL_UP_UPDATE_METADATA;

		if (vl_upstream_wal_event(2, data, size, empty, &decoded, &used) != VL_UP_OK || used == 0)
			break;
		vl_buf_put(&event, data, used - (decoded.ns >= 251 ? 3 : 1));
		up_event(file, &event, decoded.ns, NULL);
		data += used;
		size -= used;
	}
	vl_buf_put(&file->bytes, data, size);
	vl_buf_free(&event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct up_file file;

	if (size == 0)
		return 0;
	if (data[0] == 0) {
		read_all(data + 1, size - 1);
		return 0;
	}
	wrap(data + 1, size - 1, 2 + data[0] % 3, &file);
	read_all(file.bytes.data, file.bytes.size);
	up_end(&file);
	return 0;
}
