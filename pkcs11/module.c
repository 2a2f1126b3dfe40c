/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of loaded modules: the one thing that is global, and what
 * becomes of it when the process forks and when it exits.
 *
 * Two locks.  open_lock lets one thread at a time load, initialise, finalise
 * or unload; it is held over C_Initialize and C_Finalize, which PKCS #11
 * v2.40, 5.4 wants from one thread only.  list_lock guards the list for the
 * few instructions that read or change it, so that fork() never waits for a
 * module that takes long to initialise.
 *
 * Fork: a child that was forked while a thread was inside the module may
 * hang in it, so that the parent stops lending sessions for the moment of
 * the fork, and waits a little for those that are out.  The child forgets
 * everything and starts again at its first use.
 *
 * Exit: the destructors of a module run while other threads may still sign.
 * The handler here runs before them, since it is registered later: it stops
 * lending sessions and waits a little for those that are out.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "calls.h"
#include "module.h"
#include "quirks.h"
#include "session.h"

#define FORK_WAIT_SECONDS 1
#define EXIT_WAIT_SECONDS 2

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
/*
 * This thread holds open_lock.  A PKCS #11 module may bring a libcrypto of its
 * own, which reads the program's openssl.cnf in C_Initialize and there loads
 * the provider that waits for that very call.
 */
static _Thread_local bool opening;
static struct p11_module *modules;
static atomic_bool exiting;

bool p11_open_lock(void)
{
    if (opening)
        return false;
    pthread_mutex_lock(&open_lock);
    opening = true;
    return true;
}

void p11_open_unlock(void)
{
    opening = false;
    pthread_mutex_unlock(&open_lock);
}

void p11_module_set_exiting(void)
{
    atomic_store(&exiting, true);
}

bool p11_module_exiting(void)
{
    return atomic_load(&exiting);
}

static void lock_registry(void)
{
    pthread_mutex_lock(&list_lock);
    for (struct p11_module *m = modules; m != NULL; m = m->next)
        pthread_mutex_lock(&m->lock);
}

static void unlock_registry(void)
{
    for (struct p11_module *m = modules; m != NULL; m = m->next)
        pthread_mutex_unlock(&m->lock);
    pthread_mutex_unlock(&list_lock);
}

/* The one behind slot, of whatever module; NULL begins and ends. */
static struct p11_slot *next_slot(const struct p11_slot *slot)
{
    struct p11_module *m = slot != NULL ? slot->module->next : modules;

    if (slot != NULL && slot->next != NULL)
        return slot->next;
    while (m != NULL && m->slots == NULL)
        m = m->next;
    return m != NULL ? m->slots : NULL;
}

/* Stop lending, and wait for what is lent; the caller holds the registry. */
static void pause_slots(int seconds)
{
    struct timespec deadline;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += seconds;
    for (struct p11_slot *slot = NULL; (slot = next_slot(slot)) != NULL;)
        p11_session_pool_pause(slot, &deadline);
}

/* All locks but open_lock are held over fork(): the child finds them whole. */
static void before_fork(void)
{
    lock_registry();
    pause_slots(FORK_WAIT_SECONDS);
    for (struct p11_slot *slot = NULL; (slot = next_slot(slot)) != NULL;)
        pthread_mutex_lock(&slot->lock);
}

static void after_fork_in_parent(void)
{
    for (struct p11_slot *slot = NULL; (slot = next_slot(slot)) != NULL;)
        pthread_mutex_unlock(&slot->lock);
    for (struct p11_slot *slot = NULL; (slot = next_slot(slot)) != NULL;)
        p11_session_pool_resume(slot);
    unlock_registry();
}

static void after_fork_in_child(void)
{
    /* The thread that held it may not exist here. */
    pthread_mutex_init(&open_lock, NULL);
    opening = false;
    for (struct p11_module *m = modules; m != NULL; m = m->next) {
        m->needs_initialise = true;
        m->visitors = 0;
        m->restarting = false;
        p11_cond_init(&m->calm);
    }
    for (struct p11_slot *slot = NULL; (slot = next_slot(slot)) != NULL;) {
        p11_slot_forget(slot);
        pthread_mutex_unlock(&slot->lock);
    }
    unlock_registry();
}

static void at_exit(void)
{
    p11_module_set_exiting();
    lock_registry();
    pause_slots(EXIT_WAIT_SECONDS);
    unlock_registry();
}

/*
 * By the holder of open_lock, for each module after its C_Initialize: at_exit
 * has to run before whatever that module registered.
 */
static CK_RV register_handlers(struct p11_error *err)
{
    static bool forks;

    forks = forks || pthread_atfork(before_fork, after_fork_in_parent,
                                    after_fork_in_child) == 0;
    if (!forks || atexit(at_exit) != 0)
        return p11_error_set(err, CKR_HOST_MEMORY,
                             "no memory for the fork and exit handlers");
    return CKR_OK;
}

CK_RV p11_module_initialise(struct p11_module *m, struct p11_error *err)
{
    CK_C_INITIALIZE_ARGS args = { 0 };
    CK_RV rv;

    args.flags = CKF_OS_LOCKING_OK;
    args.pReserved = m->init_args;
    rv = P11_CALL(m->fl, C_Initialize, &args);
    /* The application, or the parent that forked us, was there before. */
    if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED)
        return p11_error_call(err, rv, "C_Initialize", m->path);
    m->initialised = rv == CKR_OK;
    m->needs_initialise = false;
    return CKR_OK;
}

static void module_free(struct p11_module *m)
{
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->calm);
    free(m->path);
    free(m->init_args);
    free(m);
}

static struct p11_module *module_new(const struct p11_module_config *config)
{
    struct p11_module *m = calloc(1, sizeof(*m));

    if (m == NULL)
        return NULL;
    pthread_mutex_init(&m->lock, NULL);
    p11_cond_init(&m->calm);
    m->refs = 1;
    m->path = strdup(config->path);
    m->quirks = config->quirks | p11_quirks(config->path);
    m->vendor = config->vendor;
    m->max_sessions = config->max_sessions;
    m->max_idle = config->max_idle;
    m->deadline = config->deadline;
    if (config->init_args != NULL)
        m->init_args = strdup(config->init_args);
    if (m->path == NULL ||
        (config->init_args != NULL && m->init_args == NULL)) {
        module_free(m);
        return NULL;
    }
    return m;
}

/* dlsym hands out functions as void *, which POSIX allows and C does not. */
static CK_C_GetFunctionList entry_point(void *dl)
{
    void *symbol = dlsym(dl, "C_GetFunctionList");
    CK_C_GetFunctionList function = NULL;

    memcpy(&function, &symbol, sizeof(function));
    return function;
}

static CK_RV module_load(const struct p11_module_config *config, void *dl,
                         struct p11_module **module, struct p11_error *err)
{
    CK_C_GetFunctionList get_list = entry_point(dl);
    struct p11_module *m;
    CK_RV rv;

    if (get_list == NULL)
        return p11_error_set(err, P11_MODULE_LOAD,
                             "%s is not a PKCS #11 module (it has no "
                             "C_GetFunctionList); check pkcs11-module-path",
                             config->path);
    m = module_new(config);
    if (m == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a module");
    m->dl = dl;
    rv = get_list(&m->fl);
    if (rv == CKR_OK && m->fl == NULL)
        rv = CKR_GENERAL_ERROR;
    if (rv != CKR_OK)
        p11_error_call(err, rv, "C_GetFunctionList", config->path);
    else
        rv = p11_module_initialise(m, err);
    if (rv == CKR_OK) {
        rv = register_handlers(err);
        if (rv != CKR_OK && m->initialised)
            P11_CALL(m->fl, C_Finalize, NULL);
    }
    if (rv != CKR_OK) {
        module_free(m);
        return rv;
    }
    pthread_mutex_lock(&list_lock);
    m->next = modules;
    modules = m;
    pthread_mutex_unlock(&list_lock);
    *module = m;
    return CKR_OK;
}

static CK_RV inside_initialize(const char *path, struct p11_error *err)
{
    return p11_error_set(err, P11_MODULE_LOAD,
                         "%s: a PKCS #11 module that is being initialised "
                         "opens another; it may use hsmsign itself",
                         path);
}

CK_RV p11_module_open(const struct p11_module_config *config,
                      struct p11_module **module, struct p11_error *err)
{
    struct p11_module *m;
    void *dl;
    CK_RV rv = CKR_OK;

    if (!p11_open_lock())
        return inside_initialize(config->path, err);
    /* Not RTLD_DEEPBIND: it breaks programs that bring their own malloc. */
    dl = dlopen(config->path, RTLD_NOW | RTLD_LOCAL);
    if (dl == NULL) {
        /* glibc's dlerror() is the thread's own. NOLINTNEXTLINE */
        const char *reason = dlerror();

        rv = p11_error_set(err, P11_MODULE_LOAD,
                           "%s; set pkcs11-module-path or HSM_MODULE to the "
                           "token's PKCS #11 library",
                           reason);
        goto out;
    }
    /* The same library by another path has the same handle. */
    for (m = modules; m != NULL && m->dl != dl; m = m->next)
        ;
    if (m == NULL) {
        rv = module_load(config, dl, module, err);
    } else {
        m->refs++;
        *module = m;
    }
    if (m != NULL || rv != CKR_OK)
        dlclose(dl);
out:
    p11_open_unlock();
    return rv;
}

CK_RV p11_module_again(struct p11_module *module, struct p11_error *err)
{
    CK_RV rv = CKR_OK;

    if (!p11_open_lock())
        return inside_initialize(module->path, err);
    if (module->needs_initialise)
        rv = p11_module_initialise(module, err);
    p11_open_unlock();
    return rv;
}

static void module_unlist(struct p11_module *module)
{
    struct p11_module **at;

    pthread_mutex_lock(&list_lock);
    for (at = &modules; *at != module; at = &(*at)->next)
        ;
    *at = module->next;
    pthread_mutex_unlock(&list_lock);
}

void p11_module_close(struct p11_module *module)
{
    if (module == NULL || p11_module_exiting())
        return;
    pthread_mutex_lock(&open_lock);
    if (--module->refs > 0)
        goto out;
    module_unlist(module);
    while (module->slots != NULL) {
        struct p11_slot *slot = module->slots;

        module->slots = slot->next;
        /* In a child that never used the module, nothing is ours to close. */
        p11_slot_free(slot, !module->needs_initialise);
    }
    if (module->initialised && !module->needs_initialise &&
        !(module->quirks & P11_QUIRK_NO_DEINIT)) {
        P11_CALL(module->fl, C_Finalize, NULL);
        dlclose(module->dl);
    }
    module_free(module);
out:
    pthread_mutex_unlock(&open_lock);
}
