/* test_batch.c - what a batch refuses, keeps, and hashes. */
#include "batch.h"
#include "check.h"
#include "cpu.h"
#include "memory.h"

enum { DIM = 5 };

static valori_op insert(const int32_t *vector)
{
	return (valori_op){.kind = VALORI_OP_INSERT, .vector = vector, .dim = DIM};
}

/* Adds what must be refused: the code, and that nothing is left of it. */
static void refuse(valori_batch *batch, const valori_op *op, valori_code expected, const char *what)
{
	size_t count = valori_batch_count(batch), size = valori_batch_size(batch), heap = batch->heap.size,
	       rows = batch->rows;
	valori_error error;
	valori_code code = valori_batch_add(batch, op, &error);

	if (!check(code == expected && error.code == (int32_t)expected && valori_batch_count(batch) == count &&
			   valori_batch_size(batch) == size && batch->heap.size == heap && batch->rows == rows,
		   "%s: %s, and the batch is as before", what, valori_code_name((int)expected)))
		printf("# code %d: %s\n", code, error.message);
}

static void test_refusals(valori_batch *batch)
{
	static const int32_t vector[DIM] = {1, 2, 3, 4, 5};
	static const int32_t huge[DIM] = {INT32_MAX, INT32_MAX, 0, 0, 0};
	static const uint32_t nan_bits[DIM] = {0, 0x3f800000, 0x7fc00000, 0, 0}, infinite[DIM] = {0xff800000};
	static uint8_t metadata[VALORI_METADATA_MAX + 1];
	char key[300];
	valori_op op, base = insert(vector);
	valori_error error;

	memset(key, 'k', sizeof(key));
	op = base, op.dim = DIM - 1;
	refuse(batch, &op, VALORI_DIMENSION, "a vector that is too short");
	op = base, op.vector = NULL;
	refuse(batch, &op, VALORI_INVALID, "no vector");
	op = base, op.vector = huge;
	refuse(batch, &op, VALORI_RANGE, "a vector that is too long to measure");
	op = base, op.vector = nan_bits, op.vector_kind = VALORI_F32;
	refuse(batch, &op, VALORI_RANGE, "NaN");
	check(valori_batch_add(batch, &op, &error) == VALORI_RANGE && error.event == 2, "and the component is named");
	op.vector = infinite;
	refuse(batch, &op, VALORI_RANGE, "an infinity");
	op = base, op.vector_kind = 9;
	refuse(batch, &op, VALORI_INVALID, "an unknown kind of vector");
	op = base, op.key = key, op.key_size = 256;
	refuse(batch, &op, VALORI_TOO_LONG, "a key of 256 bytes");
	op.key_size = 0;
	refuse(batch, &op, VALORI_INVALID, "an empty key");
	op.key = "a\0b", op.key_size = 3;
	refuse(batch, &op, VALORI_INVALID, "a zero byte in a key");
	op.key = "\xc3\x28", op.key_size = 2;
	refuse(batch, &op, VALORI_INVALID, "a key that is not UTF-8");
	op = base, op.metadata = metadata, op.metadata_size = VALORI_METADATA_MAX + 1;
	refuse(batch, &op, VALORI_TOO_LONG, "too much metadata");
	op = base, op.kind = VALORI_OP_UPSERT;
	refuse(batch, &op, VALORI_INVALID, "an upsert without a key");
	op = base, op.kind = 17;
	refuse(batch, &op, VALORI_INVALID, "an unknown operation");
	op = base, op.flags = 4;
	refuse(batch, &op, VALORI_INVALID, "an unknown flag");
	op = base, op.collection = 65536;
	refuse(batch, &op, VALORI_INVALID, "a collection beyond all");
	op = (valori_op){.kind = VALORI_OP_DELETE};
	refuse(batch, &op, VALORI_INVALID, "a deletion of nothing");
	op.target = (valori_ref){.kind = VALORI_REF_OP, .id = 0};
	refuse(batch, &op, VALORI_INVALID, "a reference to what does not come before");
	op.target = (valori_ref){.kind = 4};
	refuse(batch, &op, VALORI_INVALID, "an unknown kind of reference");
	op = (valori_op){.kind = VALORI_OP_NODE_DELETE, .from = {.kind = VALORI_REF_KEY, .key = "k", .key_size = 1}};
	refuse(batch, &op, VALORI_INVALID, "a node by key");
	op = (valori_op){.kind = VALORI_OP_NODE_CREATE, .object_kind = 256};
	refuse(batch, &op, VALORI_INVALID, "a kind beyond a byte");
	op = (valori_op){.kind = VALORI_OP_META_SET, .key = "k", .key_size = 1};
	refuse(batch, &op, VALORI_INVALID, "a meta value that is not given");
	op = (valori_op){.kind = VALORI_OP_COLLECTION_CREATE, .key = "a b", .key_size = 3};
	refuse(batch, &op, VALORI_INVALID, "a collection name with a space");
	op.key = key, op.key_size = 65;
	refuse(batch, &op, VALORI_TOO_LONG, "a collection name of 65 bytes");
	op = (valori_op){.kind = VALORI_OP_SET_TAG, .flags = VALORI_OP_SALTED, .target = {.kind = VALORI_REF_ID}};
	refuse(batch, &op, VALORI_INVALID, "salt on what has no content");
	op = (valori_op){.kind = VALORI_OP_CONFIG, .tag = UINT64_C(1) << 32};
	refuse(batch, &op, VALORI_INVALID, "a parameter beyond 32 bits");
	op = base;
	valori_batch_add(batch, &op, NULL);
	op = (valori_op){.kind = VALORI_OP_NODE_DELETE, .from = {.kind = VALORI_REF_OP, .id = 0}};
	refuse(batch, &op, VALORI_INVALID, "a reference to what makes something else");
}

/* Rows of a table are what they are one by one; one that is refused takes all of them back. */
static void test_rows(void)
{
	enum { ROWS = 7, APART = DIM + 2 };
	int32_t table[ROWS * APART];
	uint64_t tags[ROWS];
	valori_op op = insert(table);
	valori_batch *together, *single;
	size_t fault = 99, size;
	unsigned wrong = 0;
	valori_error error;

	for (size_t i = 0; i < ROWS * APART; i++)
		table[i] = (int32_t)i;
	for (size_t i = 0; i < ROWS; i++)
		tags[i] = 10 * i;
	valori_batch_new(DIM, &together, &error);
	valori_batch_new(DIM, &single, &error);
	op.metadata = (const uint8_t *)"m", op.metadata_size = 1;
	check(valori_batch_add_rows(together, &op, ROWS, sizeof(*table) * APART, tags, &fault, &error) == VALORI_OK &&
		      valori_batch_add_rows(together, &op, 0, 0, NULL, &fault, &error) == VALORI_OK && fault == 99,
	      "a table of vectors is taken in");
	for (size_t i = 0; i < ROWS; i++) {
		op.vector = table + i * APART;
		op.tag = tags[i];
		wrong += valori_batch_add(single, &op, &error) != VALORI_OK;
	}
	valori_batch_seal(together);
	valori_batch_seal(single);
	for (size_t i = 0; i < ROWS; i++) {
		struct vl_event a, b;

		vl_batch_event(together, i, &a);
		vl_batch_event(single, i, &b);
		wrong += a.tag != b.tag || memcmp(a.vector, b.vector, DIM * 4) != 0 || memcmp(a.v, b.v, 32) != 0;
	}
	check(wrong == 0 && valori_batch_count(together) == ROWS &&
		      valori_batch_size(together) == valori_batch_size(single),
	      "row by row the same");
	size = valori_batch_size(together);
	op.vector = table;
	table[4 * APART] = table[4 * APART + 1] = INT32_MAX;
	check(valori_batch_add_rows(together, &op, ROWS, sizeof(*table) * APART, NULL, &fault, &error) ==
			      VALORI_RANGE &&
		      fault == 4 && error.event == 1 && valori_batch_count(together) == ROWS &&
		      valori_batch_size(together) == size && together->rows == ROWS,
	      "with one row at fault none is taken, and it is named");
	valori_batch_free(together);
	valori_batch_free(single);
}

/* Digests in lanes and by the piece, over all sizes, salted or not. */
static void test_seal(const struct vl_kernels *kernels, valori_batch *batch)
{
	uint64_t seed = 1;
	uint8_t metadata[200];
	char key[200];
	unsigned wrong = 0, salts = 0;

	valori_batch_clear(batch);
	memset(key, 'k', sizeof(key));
	for (unsigned i = 0; i < 500; i++) {
		int32_t vector[DIM];
		valori_op op = insert(vector);

		for (unsigned j = 0; j < DIM; j++)
			vector[j] = (int32_t)(check_random(&seed) % 1000) - 500;
		for (unsigned j = 0; j < sizeof(metadata); j++)
			metadata[j] = (uint8_t)check_random(&seed);
		op.key = i % 3 == 0 ? NULL : key;
		op.key_size = i % 3 == 0 ? 0 : 1 + (uint32_t)(check_random(&seed) % 4);
		op.metadata = i % 5 == 0 ? NULL : metadata;
		op.metadata_size = (uint32_t)(check_random(&seed) % sizeof(metadata));
		op.flags = i % 4 == 0 ? VALORI_OP_SALTED : 0;
		wrong += valori_batch_add(batch, &op, NULL) != VALORI_OK;
		if (i == 100 || i == 333)
			valori_batch_seal(batch); /* in pieces */
	}
	wrong += vl_batch_seal(batch, NULL) != VALORI_OK;
	for (unsigned i = 0; i < 500; i++) {
		struct vl_event event, again;
		struct vl_buf scratch;

		vl_batch_event(batch, i, &event);
		again = event;
		memset(again.k, 1, 32), memset(again.v, 1, 32), memset(again.m, 1, 32);
		vl_buf_init(&scratch, batch->env);
		vl_event_hash_contents(kernels, &again, 1, DIM, &scratch, NULL);
		vl_buf_free(&scratch);
		wrong += memcmp(event.k, again.k, 32) != 0 || memcmp(event.v, again.v, 32) != 0 ||
			 memcmp(event.m, again.m, 32) != 0;
		salts += event.salt != NULL && vl_is_zero(event.salt, VL_SALT_SIZE);
		wrong += (event.flags == VL_EVENT_SALTED) != (i % 4 == 0);
	}
	check_u64(wrong, 0, "sealing gives the digests that each event has alone");
	check_u64(salts, 0, "salts are not zeros");
}

static void test_routes(valori_batch *batch)
{
	static const uint32_t f32[DIM] = {0x3f800000, 0xbf000000, 0x40490fdb, 0, 0x80000000};
	static const int32_t q16[DIM] = {65536, -32768, 205887, 0, 0};
	uint8_t f32le[DIM * 4 + 1], q16le[DIM * 4 + 1];
	const void *vectors[] = {q16, f32, q16le + 1, f32le + 1};
	unsigned wrong = 0;

	valori_batch_clear(batch);
	for (unsigned i = 0; i < DIM; i++) {
		vl_put32(f32le + 1 + 4 * i, f32[i]);
		vl_put32(q16le + 1 + 4 * i, (uint32_t)q16[i]);
	}
	for (uint32_t kind = 0; kind < 4; kind++) {
		valori_op op = insert(vectors[kind]);

		op.vector_kind = kind;
		wrong += valori_batch_add(batch, &op, NULL) != VALORI_OK;
		wrong += memcmp(batch->vectors.data + (size_t)kind * DIM * 4, q16le + 1, DIM * 4) != 0;
	}
	check_u64(wrong, 0, "a vector is the same by all four routes, on any address");
}

static void test_memory(void)
{
	static const int32_t vector[DIM] = {1, 2, 3, 4, 5};
	struct memory memory;
	unsigned wrong = 0, failed = 0;

	for (uint64_t fail_at = 1; fail_at < 60; fail_at++) {
		valori_batch *batch;
		valori_op op = insert(vector);
		size_t count = 0;

		memory_init(&memory, vl_cpu_kernels(NULL));
		memory.fail_at = fail_at;
		if (vl_batch_new(&memory.env, &vl_os_real, DIM, &batch, NULL) == VALORI_OK) {
			op.key = "key", op.key_size = 3;
			for (unsigned i = 0; i < 60; i++) {
				op.flags = i % 2 ? VALORI_OP_SALTED : 0;
				if (valori_batch_add(batch, &op, NULL) == VALORI_OK)
					count++;
				else
					failed++;
			}
			wrong += valori_batch_count(batch) != count;
			valori_batch_seal(batch);
			memory.fail_at = 0;
			wrong += vl_batch_seal(batch, NULL) != VALORI_OK || batch->rows + batch->salted_rows != count;
			valori_batch_free(batch);
		}
		wrong += memory.blocks != 0 || memory.wrong != 0;
	}
	check(wrong == 0 && failed > 0, "when memory is out, what was taken is kept, and all is given back");
}

int main(void)
{
	valori_batch *batch;
	valori_error error;

	check(valori_batch_new(0, &batch, &error) == VALORI_INVALID &&
		      valori_batch_new(32769, &batch, &error) == VALORI_INVALID,
	      "dimensions are 1 to 32768");
	valori_batch_new(DIM, &batch, &error);
	test_refusals(batch);
	test_rows();
	test_seal(vl_cpu_kernels(NULL), batch);
	test_routes(batch);
	valori_batch_free(batch);
	valori_batch_free(NULL);
	test_memory();
	return check_done();
}
