/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/random.h>
#include "log.h"
#include "retry.h"
#include "stats.h"

#define PAUSE_FIRST 20L  /* milliseconds, at most; doubled each time */
#define PAUSE_MAX   320L /* and no more than that */

static long ms_between(const struct timespec *from, const struct timespec *to)
{
    return (to->tv_sec - from->tv_sec) * 1000 +
           (to->tv_nsec - from->tv_nsec) / 1000000;
}

static struct timespec after(const struct timespec *from, long ms)
{
    struct timespec t = { from->tv_sec + ms / 1000,
                          from->tv_nsec + ms % 1000 * 1000000 };

    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/*
 * Half of it by chance: threads that failed together would come back together,
 * and be too many again.
 */
static long pause_length(unsigned tries)
{
    long length = PAUSE_FIRST;
    unsigned short chance = 0;

    while (--tries > 0 && length < PAUSE_MAX)
        length *= 2;
    /* Without, it is only less fair. */
    (void)!getrandom(&chance, sizeof(chance), GRND_NONBLOCK);
    return length / 2 + chance % (length / 2 + 1);
}

struct p11_retry p11_retry_begin(struct p11_module *module)
{
    return (struct p11_retry){ .generation = p11_module_generation(module) };
}

/* A token that is not there is waited for if its module has no slots at all. */
static bool is_worth_it(struct p11_retry *retry, struct p11_module *module,
                        CK_RV rv, struct p11_error *err)
{
    bool device = p11_rv_info(rv)->class == P11_CLASS_DEVICE, again = false;

    if (device || rv == P11_NO_TOKEN)
        again = p11_module_restart(module, retry->generation, &retry->until,
                                   device ? err : NULL);
    retry->generation = p11_module_generation(module);
    return device || again || p11_rv_info(rv)->class == P11_CLASS_BUSY;
}

bool p11_retry(struct p11_retry *retry, struct p11_module *module, CK_RV rv,
               struct p11_error *err)
{
    enum p11_class class = p11_rv_info(rv)->class;
    struct timespec now;
    long length, left;

    if ((class != P11_CLASS_BUSY && class != P11_CLASS_DEVICE &&
         rv != P11_NO_TOKEN) ||
        module->deadline == 0 || p11_module_exiting())
        return false;
    if (retry->tries++ == 0) {
        clock_gettime(CLOCK_MONOTONIC, &retry->begin);
        retry->until = after(&retry->begin, (long)module->deadline);
    }
    if (!is_worth_it(retry, module, rv, err))
        return false;
    clock_gettime(CLOCK_MONOTONIC, &now);
    left = ms_between(&now, &retry->until);
    if (left <= 0) {
        p11_error_set(err, rv, "%s (tried %u times in %.1f s)",
                      err != NULL ? err->text : "", retry->tries,
                      (double)ms_between(&retry->begin, &now) / 1e3);
        return false;
    }
    atomic_fetch_add(&p11_stats.retries, 1);
    length = pause_length(retry->tries);
    if (length > left)
        length = left;
    p11_log(P11_LOG_INFO, "%s; trying again in %ld ms", p11_rv_info(rv)->name,
            length);
    now = after(&(struct timespec){ 0 }, length);
    /* A signal that ends it early does no harm. */
    (void)nanosleep(&now, NULL);
    return true;
}
