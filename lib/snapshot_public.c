/* snapshot_public.c - the public calls that look at a snapshot file. */
#include "host.h"
#include "snapshot.h"

static valori_code look(const char *path, bool in_full, valori_snapshot_info *out, valori_error *error)
{
	struct vl_snapshot *snapshot;
	valori_code code;

	if (path == NULL)
		return vl_fail(error, VALORI_INVALID, "snapshot: the path is missing");
	code = vl_snapshot_open(vl_host_env(), &vl_os_real, path, &snapshot, error);
	if (code == VALORI_OK && in_full)
		code = vl_snapshot_verify(snapshot, error);
	if (code == VALORI_OK && out != NULL)
		vl_snapshot_describe(snapshot, out);
	vl_snapshot_close(snapshot);
	return code;
}

valori_code valori_snapshot_read(const char *path, valori_snapshot_info *out, valori_error *error)
{
	return look(path, false, out, error);
}

valori_code valori_snapshot_check(const char *path, valori_snapshot_info *out, valori_error *error)
{
	return look(path, true, out, error);
}
