/*
 * maintain.h - what is done to a whole store while it stands still: trimming the log behind a snapshot, and
 * restoring from one.
 *
 * Trimming removes whole sealed segments, oldest first, each removal synced before the next: whatever
 * instant a crash picks, what remains is one unbroken log, and every event of it that is gone is in the
 * snapshot.
 *
 * Restoring is decided by one rename. Before it the old store is whole; after it the new one is:
 *
 *   1. STEM.restore.val        the new snapshot, written and synced: the old state under the new log's id
 *   2. STEM.before-restore-N/  second names (links) of all old files, synced
 *   3. STEM.restore.log        the new, empty live segment, synced; its header names the parent
 *   4. STEM.restore.log becomes STEM.log                                                        <- here
 *   5. the old head, torn tail, sealed segments lose their old names; STEM.restore.val becomes snapshot.val
 *
 * Until step 5 is done, a reader of the new log finds its base in STEM.restore.val (vl_maintain_snapshot),
 * and ignores head and sealed segments, which bear another log's id. The next writer ends what was begun,
 * or sweeps away what was not decided (vl_maintain_recover).
 */
#ifndef VL_MAINTAIN_H
#define VL_MAINTAIN_H

#include "snapshot.h"

/* valori_trim and valori_restore on a given machine. fd: where "-" reads from. */
valori_code vl_maintain_trim(const struct vl_env *env, const struct vl_os *os, const char *log,
			     const char *snapshot, const char *archive, bool dry_run, valori_trim_result *out,
			     valori_error *error);
valori_code vl_maintain_restore(const struct vl_env *env, const struct vl_os *os, const char *log,
				const char *snapshot, int fd, valori_snapshot_info *out, valori_error *error);

/*
 * The snapshot beside a log: snapshot.val, or the one that an interrupted restore left when it is of the
 * live segment's log. NULL: there is none. Whether it fits the log must be seen.
 */
const char *vl_maintain_snapshot(const struct vl_env *env, const struct vl_os *os,
				 const struct vl_names *names);
/*
 * Ends or sweeps away an interrupted restore. Cheap when there was none. Before anything else reads the
 * store. [writer's lock held]
 */
valori_code vl_maintain_recover(const struct vl_env *env, const struct vl_os *os,
				const struct vl_names *names, valori_error *error);

#endif
