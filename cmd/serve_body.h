/*
 * serve_body.h - the JSON object in the body of a request, by a table of its members.
 *
 *	struct body_text collection = {0};
 *	struct body_u64 k = {.value = 10};
 *	const struct body_member members[] = {
 *		{"collection", BODY_TEXT, false, &collection},
 *		{"k", BODY_U64, false, &k},
 *	};
 *	if (!body_read(x, members, 2))
 *		return;
 *
 * Members that are not in the table are passed over, null counts as not there, a member that stands there twice is
 * refused. A fault is answered with 400, with the member and the place in it.
 */
#ifndef SERVE_BODY_H
#define SERVE_BODY_H

#include "json.h"
#include "serve.h"

enum body_type {
	BODY_U64,     /* struct body_u64: a number, or its decimals in a string */
	BODY_BOOL,    /* struct body_u64: 0 or 1 */
	BODY_TEXT,    /* struct body_text: a string; unescaped, a NUL behind it */
	BODY_JSON,    /* struct body_text: any value, as it stands */
	BODY_VECTOR,  /* struct body_vector: numbers */
	BODY_VECTORS, /* struct body_vectors: arrays of numbers, all of one length */
	BODY_U64S,    /* struct body_u64s: numbers; null is 0 */
	BODY_TEXTS,   /* struct body_texts: strings; null: text NULL */
	BODY_JSONS,   /* struct body_texts: any values, as they stand; null: text NULL */
	BODY_REQUEST, /* struct body_request: 32 hex digits, a UUID, or 16 numbers */
	BODY_REQUESTS /* struct body_requests: of those; null: none */
};

struct body_u64 {
	bool is_there;
	uint64_t value;
};
struct body_text {
	const char *text; /* NULL: not there */
	size_t size;
};
struct body_vector {
	bool is_there;
	const uint32_t *bits; /* count binary32 */
	size_t count;
};
struct body_vectors {
	bool is_there;
	const uint32_t *bits; /* count x dim binary32 */
	size_t count, dim;
};
struct body_u64s {
	bool is_there;
	const uint64_t *values;
	size_t count;
};
struct body_texts {
	bool is_there;
	const struct body_text *texts;
	size_t count;
};
struct body_request {
	bool is_there;
	uint8_t bytes[VALORI_REQUEST_SIZE];
};
struct body_requests {
	bool is_there;
	const struct body_request *requests;
	size_t count;
};

struct body_member {
	const char *name;
	enum body_type type;
	bool is_needed;
	void *out;
};

/*
 * Two members may share an out: names for the same thing; then one of them at most may be there, and a need is met by
 * either. false: answered.
 */
bool body_read(struct exchange *x, const struct body_member *members, size_t count);

/*
 * Gives an operation its metadata: the bytes of a text or of JSON as it stands, or those that base64 says; at most one
 * of them is there. false: answered.
 */
bool body_metadata(struct exchange *x, const struct body_text *text, const struct body_text *base64, valori_op *op);
/* Gives an operation the id of a request, if there is one. */
void body_request(valori_op *op, const struct body_request *request);
/*
 * The same for one of the operations of a request that has several: part 0 gets the request's id, each other one an id
 * of its own that follows from it, so that a repeated request is repeated in all its parts, and does nothing. A part
 * keeps its number when another one is not needed.
 */
void body_request_part(valori_op *op, unsigned part, const struct body_request *request);

/* Member receipt: what the insert of a vector did; serve_receipt.c. */
void reply_receipt(struct exchange *x, struct tool_json *json, uint64_t id, const struct body_vector *vector,
		   const valori_receipt *receipt);

#endif
