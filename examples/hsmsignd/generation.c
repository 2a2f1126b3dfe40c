/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "config.h"
#include "generation.h"
#include "hsm.h"
#include "log.h"
#include "pool.h"
#include "trial.h"
#include "watch.h"

#define KEPT_FOR ((uint64_t)10 * 60 * 1000) /* ms */

struct generations {
    const struct options *options;
    /* For the thread that loads. */
    struct watch watch;
    struct p11_pin **refused; /* n_refused of them, owned */
    size_t n_refused;
    size_t failed;        /* the number of the profile that is not good */
    pthread_mutex_t lock; /* guards all that is below, and all refs */
    struct generation *newest;
};

static void destroy(struct generation *g)
{
    for (size_t i = 0; i < g->n; i++)
        profile_free(g->profiles[i]);
    free(g->profiles);
    users_free(g->users);
    free(g);
}

/* Without the lock, since keys may be freed. */
static void put_all(struct generations *gs, struct generation *g)
{
    while (g != NULL) {
        struct generation *older;
        bool last;

        (void)pthread_mutex_lock(&gs->lock);
        older = g->older;
        last = --g->refs == 0;
        (void)pthread_mutex_unlock(&gs->lock);
        if (!last)
            break;
        destroy(g);
        g = older;
    }
}

void generations_put(struct generations *gs, struct generation *g)
{
    put_all(gs, g);
}

struct generation *generations_get(struct generations *gs)
{
    struct generation *g;

    (void)pthread_mutex_lock(&gs->lock);
    g = gs->newest;
    if (g != NULL)
        g->refs++;
    (void)pthread_mutex_unlock(&gs->lock);
    return g;
}

struct generation *generations_older(struct generations *gs,
                                     struct generation *g)
{
    struct generation *older;

    (void)pthread_mutex_lock(&gs->lock);
    older = g->older;
    if (older != NULL && pool_now() - older->replaced > KEPT_FOR)
        older = NULL;
    if (older != NULL)
        older->refs++;
    (void)pthread_mutex_unlock(&gs->lock);
    generations_put(gs, g);
    return older;
}

/* Forget all but the first n that were refused. */
static void forget_refused(struct generations *gs, size_t n)
{
    while (gs->n_refused > n)
        p11_pin_free(gs->refused[--gs->n_refused]);
}

void generations_free(struct generations *gs)
{
    if (gs == NULL)
        return;
    watch_clear(&gs->watch);
    forget_refused(gs, 0);
    free(gs->refused);
    put_all(gs, gs->newest);
    (void)pthread_mutex_destroy(&gs->lock);
    free(gs);
}

/* It is the newest now; those that are too old go. */
static void publish(struct generations *gs, struct generation *g)
{
    struct generation *at, *old = NULL;
    uint64_t now = pool_now();

    g->refs = 1;
    (void)pthread_mutex_lock(&gs->lock);
    g->older = gs->newest;
    if (g->older != NULL)
        g->older->replaced = now;
    gs->newest = g;
    for (at = g; at->older != NULL; at = at->older) {
        if (now - at->older->replaced > KEPT_FOR) {
            old = at->older;
            at->older = NULL;
            break;
        }
    }
    (void)pthread_mutex_unlock(&gs->lock);
    put_all(gs, old);
}

struct generations *generations_new(const struct options *options)
{
    struct generations *gs = calloc(1, sizeof(*gs));
    struct generation *none = calloc(1, sizeof(*none));

    if (gs == NULL || none == NULL) {
        free(gs);
        free(none);
        return NULL;
    }
    gs->options = options;
    (void)pthread_mutex_init(&gs->lock, NULL);
    publish(gs, none);
    return gs;
}

static bool load_users(const struct options *options, struct users **users)
{
    char error[256];

    if (options->users == NULL)
        return true;
    *users = users_load(options->users, error, sizeof(error));
    if (*users == NULL)
        log_event(LOG_ERROR, "users", "{s:s, s:s}", "file", options->users,
                  "reason", error);
    return *users != NULL;
}

static struct config *load_config(const struct options *options)
{
    char error[512];
    struct config *config = config_load(options, error, sizeof(error));

    if (config == NULL)
        log_event(LOG_ERROR, "profiles", "{s:s, s:s}", "file",
                  options->profiles != NULL ? options->profiles : "", "reason",
                  error);
    return config;
}

static void watch_file(struct generations *gs, const char *name)
{
    if (name != NULL && !is_store_uri(name))
        watch_add(&gs->watch, name);
}

static void watch_pin(void *arg, const char *file)
{
    watch_file(arg, file);
}

/* Watch what is about to be read, and read the PINs: once for all that use
 * them. */
static void read_pins(struct generations *gs, struct config *config)
{
    bool searches = false;

    for (size_t i = 0; i < config->n; i++) {
        struct profile_source *source = &config->list[i];

        watch_file(gs, source->cert);
        watch_file(gs, source->chain);
        searches = searches || profile_searches(source);
        source->pin = hsm_pin(source->key, watch_pin, gs);
    }
    if (searches)
        watch_add_directory(&gs->watch, gs->options->certs, profile_takes);
}

/* Whether the profile's source gives another PIN than it did. */
static bool has_new_pin(const struct generation *before,
                        const struct profile_source *source)
{
    const struct profile *p = generation_find(before, source->name);

    return p != NULL && p->pin != NULL && source->pin != NULL &&
           !p11_pin_equal(source->pin, p->pin);
}

static bool was_refused(const struct generations *gs, const struct p11_pin *pin)
{
    size_t i = 0;

    while (i < gs->n_refused && !p11_pin_equal(gs->refused[i], pin))
        i++;
    return i < gs->n_refused;
}

static bool remember_refused(struct generations *gs, const struct p11_pin *pin)
{
    struct p11_pin **list =
        reallocarray(gs->refused, gs->n_refused + 1, sizeof(struct p11_pin *));

    if (list == NULL)
        return false;
    gs->refused = list;
    list[gs->n_refused] = p11_pin_copy(pin);
    if (list[gs->n_refused] == NULL)
        return false;
    gs->n_refused++;
    return true;
}

/* Of those from the first one on only that of the profile was refused. */
static void blame(struct generations *gs, size_t first,
                  const struct p11_pin *pin)
{
    size_t i = first;

    while (i < gs->n_refused && !p11_pin_equal(gs->refused[i], pin))
        i++;
    if (i < gs->n_refused) {
        struct p11_pin *swapped = gs->refused[first];

        gs->refused[first] = gs->refused[i];
        gs->refused[i] = swapped;
        forget_refused(gs, first + 1);
    }
}

/*
 * Another process tries the new PINs, and each wrong one but once, since the
 * token counts.  They are remembered beforehand: it may end without a word.
 */
static enum trial try_pins(struct generations *gs,
                           const struct generation *before,
                           const struct config *config)
{
    size_t known = gs->n_refused, which;
    bool any = false, refused = false;
    enum trial found;

    for (size_t i = 0; i < config->n; i++) {
        const struct p11_pin *pin = config->list[i].pin;

        any = any || has_new_pin(before, &config->list[i]);
        refused = refused || (pin != NULL && was_refused(gs, pin));
    }
    if (!any)
        return TRIAL_GOOD;
    if (refused)
        return TRIAL_REFUSED;
    for (size_t i = 0; i < config->n; i++) {
        if (has_new_pin(before, &config->list[i]) &&
            !remember_refused(gs, config->list[i].pin)) {
            forget_refused(gs, known);
            return TRIAL_AWAY;
        }
    }
    found = trial_run(&which);
    if (found != TRIAL_REFUSED)
        forget_refused(gs, found == TRIAL_GOOD ? 0 : known);
    else if (which < config->n && config->list[which].pin != NULL)
        blame(gs, known, config->list[which].pin);
    return found;
}

/*
 * What it logs in with from now on, if not all that is loaded with it is good:
 * the profile that stays is asked for it with the next load, in this thread.
 */
static void keep_pin(const struct generation *before,
                     const struct profile_source *source)
{
    struct profile *p = generation_find(before, source->name);
    struct p11_pin *pin = p11_pin_copy(source->pin);

    /* Without memory, it is asked for once more than needed. */
    if (pin == NULL)
        return;
    p11_pin_free(p->pin);
    p->pin = pin;
}

/* A profile's new PIN after the trial; false: try again later. */
static bool change_pin(const struct generations *gs,
                       const struct generation *before,
                       const struct profile_source *source, enum trial found)
{
    static const char *const reasons[] = {
        [TRIAL_GOOD] = "it has changed: logging in anew",
        [TRIAL_BAD] = "with the new one not everything is good, see the lines "
                      "above; the one of before stays in use",
        [TRIAL_AWAY] = "the new one cannot be tried, see the lines above; it "
                       "is tried again later",
        [TRIAL_REFUSED] = "the new one does not work, and is not tried again: "
                          "correct it; the one of before stays in use",
    };

    if (found == TRIAL_REFUSED && was_refused(gs, source->pin))
        hsm_refuse_pin(source->key, source->pin);
    if (found == TRIAL_GOOD && !hsm_change_pin(source->key, source->pin))
        found = TRIAL_AWAY;
    log_event(found == TRIAL_GOOD ? LOG_INFO : LOG_ERROR, "pin", "{s:s, s:s}",
              "profile", source->name, "reason", reasons[found]);
    if (found == TRIAL_GOOD)
        keep_pin(before, source);
    return found != TRIAL_AWAY;
}

/* New PINs are used from now on, if another process finds them good. */
static enum profile_state change_pins(struct generations *gs,
                                      const struct generation *before,
                                      const struct config *config)
{
    enum trial found = try_pins(gs, before, config);
    bool changed = found != TRIAL_AWAY;

    for (size_t i = 0; i < config->n; i++) {
        const struct profile_source *source = &config->list[i];

        if (has_new_pin(before, source) &&
            !change_pin(gs, before, source, found))
            changed = false;
    }
    if (!changed)
        return PROFILE_AWAY;
    return found == TRIAL_GOOD ? PROFILE_GOOD : PROFILE_WRONG;
}

static enum profile_state load_profiles(const struct options *options,
                                        struct config *config,
                                        struct generation *g)
{
    enum profile_state state = PROFILE_GOOD;

    g->profiles = calloc(config->n, sizeof(struct profile *));
    if (g->profiles == NULL)
        return PROFILE_WRONG;
    while (g->n < config->n && state == PROFILE_GOOD) {
        state = profile_load(options, &config->list[g->n], &g->profiles[g->n]);
        g->n += state == PROFILE_GOOD;
    }
    return state;
}

/*
 * A chain that was complete stays so: the new certificate may have come before
 * its issuer's, and what is signed until then would not be accepted.
 */
static bool keeps_chains(const struct generation *before,
                         const struct generation *g)
{
    for (size_t i = 0; i < g->n; i++) {
        const char *name = g->profiles[i]->name;
        const struct profile *old = generation_find(before, name);

        if (old == NULL || !old->complete || g->profiles[i]->complete)
            continue;
        log_event(LOG_ERROR, "chain", "{s:s, s:s}", "profile", name, "reason",
                  "it was complete and is no more: give the issuer of the new "
                  "certificate in HSM_CHAIN");
        return false;
    }
    return true;
}

enum profile_state generations_load(struct generations *gs)
{
    struct generation *g = calloc(1, sizeof(*g));
    struct generation *before = generations_get(gs);
    struct config *config = NULL;
    enum profile_state state = PROFILE_WRONG;

    /* Before they are read, so that what changes meanwhile is seen. */
    watch_clear(&gs->watch);
    watch_file(gs, gs->options->users);
    watch_file(gs, gs->options->profiles);
    if (g != NULL && load_users(gs->options, &g->users) &&
        (config = load_config(gs->options)) != NULL) {
        read_pins(gs, config);
        state = change_pins(gs, before, config);
        if (state == PROFILE_GOOD)
            state = load_profiles(gs->options, config, g);
        gs->failed = g->n;
        if (state == PROFILE_GOOD && !keeps_chains(before, g))
            state = PROFILE_WRONG;
    }
    config_free(config);
    if (state == PROFILE_GOOD)
        publish(gs, g);
    else if (g != NULL)
        destroy(g);
    generations_put(gs, before);
    return state;
}

size_t generations_refused(const struct generations *gs)
{
    return gs->failed;
}

bool generations_changed(const struct generations *gs)
{
    return watch_changed(&gs->watch);
}

struct profile *generation_find(const struct generation *g, const char *name)
{
    for (size_t i = 0; i < g->n; i++) {
        if (strcmp(g->profiles[i]->name, name) == 0)
            return g->profiles[i];
    }
    return NULL;
}

int64_t generation_expires(const struct generation *g)
{
    int64_t first = INT64_MAX;

    for (size_t i = 0; i < g->n; i++) {
        int days = 0, seconds = 0;

        if (ASN1_TIME_diff(&days, &seconds, NULL,
                           X509_get0_notAfter(g->profiles[i]->signer.cert)) &&
            (int64_t)days * 86400 + seconds < first)
            first = (int64_t)days * 86400 + seconds;
    }
    return first;
}

void generations_remind(struct generations *gs)
{
    struct generation *g = generations_get(gs);

    for (size_t i = 0; g != NULL && i < g->n; i++)
        profile_remind(g->profiles[i]);
    generations_put(gs, g);
}
