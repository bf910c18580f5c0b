/* engine_snapshot.c - a view becomes a snapshot. */
#include <string.h>

#include "engine_private.h"
#include "snapshot_format.h"

valori_code valori_snapshot_write(valori_view *view, const char *path, valori_snapshot_info *out,
				  valori_error *error)
{
	const struct vl_version *version;
	const struct vl_index *index;
	bool is_stream;
	valori_code code;

	if (view == NULL || path == NULL)
		return vl_fail(error, VALORI_INVALID, "snapshot: the view or the path is missing");
	/* A power cut may not leave a snapshot of commits that the log has lost. */
	if (view->store->sync != VALORI_SYNC_ALWAYS) {
		code = valori_flush(view->store, error);
		if (code != VALORI_OK)
			return code;
	}
	/*
	 * What was mapped goes into the new file with a new digest over it: damage in it would look sound there, until
	 * somebody proves the new file in full.
	 */
	if (view->store->snapshot != NULL) {
		code = vl_snapshot_check_bytes(view->store->snapshot, error);
		if (code != VALORI_OK)
			return code;
	}
	/*
	 * A snapshot has the rounds that are due: its bytes do not depend on how far the thread was that runs them.
	 * An index that was lost on the way is no reason to have no snapshot.
	 */
	index = valori_view_settle(view, NULL) == VALORI_OK && view->round != NULL &&
				view->round->index.schedule.covered > 0
			? &view->round->index
			: NULL;
	version = vl_engine_version(view);
	is_stream = strcmp(path, "-") == 0;
	code = vl_snapshot_write(version->env, version->os, &version->position, &version->state,
				 &version->commitment, &version->requests, index, is_stream ? NULL : path,
				 is_stream ? 1 : -1, error);
	if (code == VALORI_OK && out != NULL)
		code = vl_snapshot_foresee(version->env, &version->position, &version->state,
					   &version->commitment, &version->requests, index, out, error);
	return code;
}
