/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>
#include "loader.h"
#include "log.h"
#include "pool.h"
#include "systemd.h"

#define LOAD_FIRST 1000 /* ms, doubled each time, */
#define LOAD_LAST  8000 /* and no more than that */
#define LOADING    (-1) /* the first time: no profile_state as yet */

struct loader {
    struct job job; /* the only one, and the first here: either is the other */
    struct pool *pool;
    const struct options *options;
    struct generations *generations;
    struct audit *audit;
    atomic_bool busy;    /* the job waits or runs */
    atomic_bool wanted;  /* to load */
    atomic_int first;    /* LOADING, or how that ended */
    atomic_ullong count; /* how many were loaded */
    /* The thread's. */
    bool away; /* the HSM was, or nothing is loaded: try again */
    uint64_t load_at, load_pause;
};

/* It was renamed, as by logrotate(8), or it is the same. */
static void reopen_audit(struct loader *l)
{
    char error[256];

    if (l->audit != NULL && !audit_reopen(l->audit, error, sizeof(error)))
        log_event(LOG_ERROR, "audit", "{s:s, s:s}", "file", l->options->audit,
                  "reason", error);
}

void loader_log_mark(struct audit *audit, const char *file)
{
    struct audit_mark mark;

    if (audit == NULL)
        return;
    audit_last(audit, &mark);
    log_event(LOG_INFO, "audit", "{s:s, s:I, s:s}", "file", file, "seq",
              (json_int_t)mark.seq, "hash", mark.hash);
}

/* Load all anew; what is found wrong is tried again later, or when mended. */
static enum profile_state load(struct loader *l)
{
    enum profile_state state = generations_load(l->generations);
    uint64_t pause = l->load_pause;

    if (state == PROFILE_GOOD) {
        l->away = false;
        l->load_pause = LOAD_FIRST;
        loader_log_mark(l->audit, l->options->audit);
        log_event(LOG_INFO, "loaded", "{s:I}", "generation",
                  (json_int_t)atomic_fetch_add(&l->count, 1) + 1);
    } else {
        l->away =
            l->away || state == PROFILE_AWAY || atomic_load(&l->count) == 0;
        l->load_at = pool_now() + pause;
        l->load_pause = pause * 2 < LOAD_LAST ? pause * 2 : LOAD_LAST;
        log_event(LOG_ERROR, "loaded", "{s:s}", "reason",
                  atomic_load(&l->count) > 0
                      ? "not everything is good: what was loaded before stays"
                      : "not everything is good: nothing can be signed");
    }
    return state;
}

static void load_again(struct loader *l)
{
    systemd_notify("RELOADING=1");
    (void)load(l);
    systemd_notify("READY=1");
}

static void look(struct job *job, bool late)
{
    struct loader *l = (struct loader *)job;
    bool wanted = atomic_exchange(&l->wanted, false);

    (void)late;
    if (atomic_load(&l->first) == LOADING) {
        atomic_store(&l->first, (int)load(l));
    } else if (wanted || (l->away && pool_now() >= l->load_at) ||
               generations_changed(l->generations)) {
        if (wanted)
            reopen_audit(l);
        load_again(l);
    }
    generations_remind(l->generations);
    atomic_store(&l->busy, false);
}

void loader_tick(struct loader *l, bool reload)
{
    if (reload)
        atomic_store(&l->wanted, true);
    if (!atomic_exchange(&l->busy, true))
        (void)pool_submit(l->pool, &l->job); /* which is empty */
}

struct loader *loader_new(const struct options *options,
                          struct generations *generations, struct audit *audit)
{
    struct loader *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return NULL;
    l->job.run = look;
    l->job.deadline = UINT64_MAX;
    l->options = options;
    l->generations = generations;
    l->audit = audit;
    l->load_pause = LOAD_FIRST;
    atomic_init(&l->first, LOADING);
    l->pool = pool_new(1, 1);
    if (l->pool == NULL) {
        free(l);
        return NULL;
    }
    loader_tick(l, false);
    return l;
}

void loader_free(struct loader *l)
{
    if (l != NULL)
        pool_free(l->pool);
    free(l);
}

bool loader_first(const struct loader *l, enum profile_state *state)
{
    int first = atomic_load(&l->first);

    if (first != LOADING)
        *state = (enum profile_state)first;
    return first != LOADING;
}

unsigned long long loader_count(const struct loader *l)
{
    return atomic_load(&l->count);
}

bool loader_is_busy(const struct loader *l)
{
    return atomic_load(&l->busy);
}
