/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsignd, a signing service for Nutrient Document Engine: see hsmsignd(8).
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <openssl/conf.h>
#include <openssl/provider.h>
#include "../../provider/hsmsign.h"
#include "listen.h"
#include "log.h"
#include "pool.h"
#include "service.h"
#include "systemd.h"
#include "trial.h"
#include "web.h"

#define TRIM_EVERY 60 /* s */

/* What each thread's heap needed once it keeps: memory would grow. */
#ifdef __GLIBC__
#include <malloc.h>
static void trim_heaps(void)
{
    (void)malloc_trim(0);
}
#else
static void trim_heaps(void)
{
}
#endif

/* For when openssl.cnf does not say how pkcs11: URIs are served. */
static const char config[] = "openssl_conf = init\n"
                             "[init]\nproviders = providers\n"
                             "[providers]\ndefault = default_sect\n"
                             "hsmsign = hsmsign_sect\n"
                             "[default_sect]\nactivate = 1\n"
                             "[hsmsign_sect]\nactivate = 1\n"
                             "hsmsign-deadline = %lu\n"
                             "hsmsign-max-sessions = %lu\n";

/* What is tried again has to end before the request's own deadline. */
static bool load_provider(const struct options *options)
{
    BIO *text = NULL;
    CONF *conf = NULL;
    bool ok = provider_is_served();

    if (ok)
        return true;
    text = BIO_new(BIO_s_mem());
    conf = NCONF_new(NULL);
    ok = text != NULL && conf != NULL &&
         (!HSMSIGND_LINKED ||
          OSSL_PROVIDER_add_builtin(NULL, "hsmsign", hsmsign_provider_init)) &&
         BIO_printf(text, config, options->deadline * 3 / 4,
                    options->workers + 1) > 0 &&
         NCONF_load_bio(conf, text, NULL) > 0 &&
         CONF_modules_load(conf, NULL, 0) > 0 && provider_is_served();
    NCONF_free(conf);
    BIO_free(text);
    return ok;
}

/* The first load, which may take as long as an HSM that does not answer. */
struct first {
    struct job job; /* the first, so that either is the other */
    struct generations *gs;
    enum profile_state state;
    atomic_bool done;
};

static void load_now(struct job *job, bool late)
{
    struct first *first = (struct first *)job;

    (void)late;
    first->state = generations_load(first->gs);
    atomic_store(&first->done, true);
}

/*
 * In a thread of its own, so that a signal ends the process meanwhile.  SIGHUP
 * waits until there is a service.
 */
static enum profile_state load_first(struct generations *gs)
{
    const struct timespec pause = { 0, 20000000 };
    struct first first = { .job = { .run = load_now, .deadline = UINT64_MAX },
                           .gs = gs,
                           .state = PROFILE_WRONG };
    struct pool *pool = pool_new(1, 1);
    sigset_t ends;
    int sig = -1;

    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    if (pool == NULL || !pool_submit(pool, &first.job))
        return PROFILE_WRONG;
    while (!atomic_load(&first.done) && sig < 0)
        sig = sigtimedwait(&ends, NULL, &pause);
    if (sig > 0) {
        log_event(LOG_INFO, "stopped", "{s:i}", "signal", sig);
        _exit(CLI_FAILED);
    }
    pool_free(pool);
    return first.state;
}

/* Until a signal says to end; true: all was answered. */
static bool serve(const struct options *options, struct generations *gs,
                  struct audit *audit, bool away, int fd,
                  const sigset_t *signals)
{
    const struct timespec second = { 1, 0 };
    struct service *service = service_start(options, gs, audit, away, fd);
    int sig = 0, ticks = 0;

    if (service == NULL)
        return false;
    systemd_notify("READY=1");
    while (sig != SIGTERM && sig != SIGINT) {
        service_tick(service, sig == SIGHUP);
        if (++ticks % TRIM_EVERY == 0)
            trim_heaps();
        sig = sigtimedwait(signals, NULL, &second);
    }
    systemd_notify("STOPPING=1");
    log_event(LOG_INFO, "stopping", "{s:i}", "signal", sig);
    if (!service_stop(service)) {
        trial_abandon();
        _exit(CLI_FAILED); /* threads are in the middle of things */
    }
    log_event(LOG_INFO, "stopped", "{}");
    return true;
}

static bool check(struct generations *gs)
{
    struct generation *g = generations_get(gs);
    bool good = g != NULL && g->n > 0;

    for (size_t i = 0; good && i < g->n; i++)
        good = profile_probe(g->profiles[i]);
    generations_put(gs, g);
    return good;
}

/* The service's alone, so that --check has none. */
static bool open_audit(const struct options *options, struct audit **audit)
{
    char error[256];

    if (options->audit == NULL || options->check != 0)
        return true;
    *audit = audit_open(options->audit, options->audit_sync != 0, error,
                        sizeof(error));
    if (*audit == NULL)
        log_event(LOG_ERROR, "audit", "{s:s, s:s}", "file", options->audit,
                  "reason", error);
    return *audit != NULL;
}

/* Said at the start, and not by a 404 to whoever looks for it. */
static bool has_page(const struct options *options)
{
    const char *type;
    BIO *page =
        options->web != NULL ? web_read(options->web, "/web/", &type) : NULL;

    if (options->web != NULL && page == NULL)
        log_event(LOG_ERROR, "web", "{s:s, s:s}", "file", options->web,
                  "reason", "no directory with an index.html to be read");
    BIO_free(page);
    return options->web == NULL || page != NULL;
}

static int run(const struct options *options, int fd, const sigset_t *signals)
{
    struct generations *gs = generations_new(options);
    struct audit *audit = NULL;
    enum profile_state state = PROFILE_WRONG;
    char reason[1024];
    size_t refused;
    bool good = false;

    if (options->users == NULL)
        log_event(LOG_WARNING, "users", "{s:s}", "reason",
                  "without --users everybody who reaches the port may sign");
    if (!request_init_digests() || !load_provider(options)) {
        (void)cli_reason(reason, sizeof(reason));
        log_event(LOG_ERROR, "provider", "{s:s, s:s}", "reason", reason, "fix",
                  "see that openssl.cnf activates default and hsmsign");
    } else if (gs != NULL && has_page(options) && open_audit(options, &audit)) {
        state = load_first(gs);
    }
    if (options->check != 0)
        good = state == PROFILE_GOOD && check(gs);
    else if (state == PROFILE_GOOD || state == PROFILE_AWAY)
        good = serve(options, gs, audit, state == PROFILE_AWAY, fd, signals);
    refused = gs != NULL ? generations_refused(gs) : SIZE_MAX;
    generations_free(gs);
    audit_close(audit);
    request_free_digests();
    if (state == PROFILE_REFUSED)
        return options->check != TRIAL_CHECK || refused >= TRIAL_EXIT_PROFILES
                   ? TRIAL_EXIT_REFUSED
                   : TRIAL_EXIT_PROFILE + (int)refused;
    if (options->check != 0 && state == PROFILE_AWAY)
        return TRIAL_EXIT_AWAY;
    return good ? CLI_OK : CLI_FAILED;
}

int main(int argc, char **argv)
{
    struct options options;
    sigset_t signals;
    int status, fd = -1;

    (void)argc;
    if (!options_parse(&options, argv, &status))
        return status;
    if (options.verify != NULL)
        return audit_verify(options.verify, stdout, stderr);
    trial_init(argv);
    /* Modules that speak to a server through a socket may lose it. */
    (void)signal(SIGPIPE, SIG_IGN);
    /* That the audit log grows too large is no reason to die. */
    (void)signal(SIGXFSZ, SIG_IGN);
    /* Ignored, as it may be inherited, trial.c would not hear of its child. */
    (void)signal(SIGCHLD, SIG_DFL);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (options.check == 0 && (fd = listen_open(&options)) < 0)
        return CLI_FAILED;
    status =
        listen_drop(options.user) ? run(&options, fd, &signals) : CLI_FAILED;
    listen_end();
    return status;
}
