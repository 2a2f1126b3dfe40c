/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a module anew while nobody is inside: no session is lent and there
 * are no visitors.  The lock of C_Initialize (p11_open_lock()) is held while
 * that is waited for, so that nobody who counts as inside may wait for it.
 */
#include <errno.h>
#include "calls.h"
#include "log.h"
#include "module.h"
#include "session.h"

#define RESTART_INTERVAL_MS 200 /* a server needs a while to come back */

/* Who waits for open_lock is not counted yet: a restart waits for all who are.
 */
CK_RV p11_module_enter(struct p11_module *module, struct p11_error *err)
{
    CK_RV rv = CKR_OK;
    bool in = false;

    while (rv == CKR_OK && !in) {
        rv = p11_module_ready(module, err);
        pthread_mutex_lock(&module->lock);
        while (module->restarting)
            pthread_cond_wait(&module->calm, &module->lock);
        in = rv == CKR_OK && !module->needs_initialise;
        if (in)
            module->visitors++;
        pthread_mutex_unlock(&module->lock);
    }
    return rv;
}

void p11_module_leave(struct p11_module *module)
{
    pthread_mutex_lock(&module->lock);
    if (--module->visitors == 0)
        pthread_cond_broadcast(&module->calm);
    pthread_mutex_unlock(&module->lock);
}

/* Let nobody in; whether nobody is inside.  Returns the slots. */
static bool shut(struct p11_module *m, struct p11_slot **slots,
                 const struct timespec *until)
{
    int timed_out = 0;
    bool empty;

    pthread_mutex_lock(&m->lock);
    m->restarting = true;
    while (m->visitors > 0 && timed_out != ETIMEDOUT)
        timed_out = pthread_cond_timedwait(&m->calm, &m->lock, until);
    empty = m->visitors == 0;
    /* Only visitors add to them. */
    *slots = m->slots;
    pthread_mutex_unlock(&m->lock);
    for (struct p11_slot *slot = *slots; slot != NULL; slot = slot->next)
        empty = p11_session_pool_pause(slot, until) && empty;
    return empty;
}

static void reopen(struct p11_module *m, struct p11_slot *slots)
{
    for (struct p11_slot *slot = slots; slot != NULL; slot = slot->next)
        p11_session_pool_resume(slot);
    pthread_mutex_lock(&m->lock);
    m->restarting = false;
    pthread_cond_broadcast(&m->calm);
    pthread_mutex_unlock(&m->lock);
}

/* Why it may not be started anew; NULL: it may. */
static const char *forbidden(const struct p11_module *m)
{
    if (!m->initialised)
        return "it was initialised by another part of this program, which has "
               "to do that again";
    if ((m->quirks & P11_QUIRK_NO_DEINIT) != 0)
        return "pkcs11-module-quirks has no-deinit; restart this program";
    return NULL;
}

static CK_RV impossible(const struct p11_module *m, const char *why,
                        struct p11_error *err)
{
    return p11_error_set(err, CKR_DEVICE_ERROR,
                         "%s answers nothing but this any more, and cannot be "
                         "started anew: %s",
                         m->path, why);
}

static void restart(struct p11_module *m, const struct timespec *until,
                    struct p11_error *err)
{
    struct p11_slot *slots;

    if (shut(m, &slots, until)) {
        p11_log(P11_LOG_WARNING, "%s has lost its tokens: started anew",
                m->path);
        for (struct p11_slot *slot = slots; slot != NULL; slot = slot->next)
            p11_slot_restarted(slot);
        m->needs_initialise = true;
        P11_CALL(m->fl, C_Finalize, NULL);
        p11_module_initialise(m, err);
    } else {
        impossible(m, "calls to it do not end; restart this program", err);
    }
    reopen(m, slots);
}

/* PKCS #11 v2.40, 5.5: slots without a token count, too. */
static bool has_slots(struct p11_module *m)
{
    CK_ULONG count = 0;
    CK_RV rv = P11_CALL(m->fl, C_GetSlotList, CK_FALSE, NULL, &count);

    return p11_rv_info(rv)->class != P11_CLASS_DEVICE &&
           (rv != CKR_OK || count > 0);
}

static bool was_just_restarted(const struct p11_module *m)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return atomic_load(&m->generation) > 0 &&
           (now.tv_sec - m->restarted_at.tv_sec) * 1000 +
                   (now.tv_nsec - m->restarted_at.tv_nsec) / 1000000 <
               RESTART_INTERVAL_MS;
}

unsigned long p11_module_generation(struct p11_module *module)
{
    return atomic_load(&module->generation);
}

bool p11_module_restart(struct p11_module *module, unsigned long seen,
                        const struct timespec *until, struct p11_error *err)
{
    const char *why;
    bool there;

    if (p11_module_generation(module) != seen)
        return true;
    if (p11_module_enter(module, err) != CKR_OK)
        return true;
    there = has_slots(module);
    p11_module_leave(module);
    if (there)
        return p11_module_generation(module) != seen;
    if (!p11_open_lock())
        return false;
    /* Of those that wanted the same, the first one has done it for all. */
    if (p11_module_generation(module) == seen && !was_just_restarted(module)) {
        why = forbidden(module);
        if (why != NULL) {
            impossible(module, why, err);
        } else {
            atomic_fetch_add(&module->generation, 1);
            restart(module, until, err);
            clock_gettime(CLOCK_MONOTONIC, &module->restarted_at);
        }
    }
    p11_open_unlock();
    return true;
}
