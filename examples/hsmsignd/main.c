/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsignd, a signing service for Nutrient Document Engine: see hsmsignd(8).
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <time.h>
#include <unistd.h>
#include <openssl/conf.h>
#include <openssl/provider.h>
#include "../../provider/hsmsign.h"
#include "listen.h"
#include "loader.h"
#include "log.h"
#include "pool.h"
#include "service.h"
#include "systemd.h"
#include "trial.h"
#include "web.h"

#define TRIM_EVERY 60    /* s */
#define LOAD_WAIT  10000 /* ms */

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

/*
 * Until the first load has ended, but no longer than LOAD_WAIT: of an HSM that
 * does not answer in that time nobody knows when it will.  The signal that came
 * meanwhile, or 0; SIGHUP waits until there is a service.
 */
static int wait_for_load(const struct loader *loader, enum profile_state *state)
{
    const struct timespec pause = { 0, 20000000 };
    uint64_t begin = pool_now();
    sigset_t ends;
    int sig = -1;

    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    while (sig < 0 && !loader_first(loader, state)) {
        if (pool_now() - begin > LOAD_WAIT) {
            log_event(LOG_WARNING, "loading", "{s:s}", "reason",
                      "the HSM takes its time: requests are answered 503 until "
                      "it has answered");
            *state = PROFILE_AWAY;
            return 0;
        }
        sig = sigtimedwait(&ends, NULL, &pause);
    }
    return sig < 0 ? 0 : sig;
}

/* Until a signal says to end, which it is. */
static int serve(struct service *service, struct loader *loader,
                 const sigset_t *signals)
{
    const struct timespec second = { 1, 0 };
    int sig = 0, ticks = 0;

    systemd_notify("READY=1");
    while (sig != SIGTERM && sig != SIGINT) {
        service_tick(service);
        loader_tick(loader, sig == SIGHUP);
        if (++ticks % TRIM_EVERY == 0)
            trim_heaps();
        sig = sigtimedwait(signals, NULL, &second);
    }
    systemd_notify("STOPPING=1");
    return sig;
}

/* Threads are in the middle of things, which an HSM may hold up. */
static noreturn void leave(int status)
{
    trial_abandon();
    listen_end();
    _exit(status);
}

/* End what runs, but for no longer than --drain; returns true, if at all. */
static bool end(const struct options *options, struct service *service,
                struct loader *loader, int sig)
{
    uint64_t begin = pool_now();
    bool good;

    log_event(LOG_INFO, "stopping", "{s:i}", "signal", sig);
    good = service == NULL || service_stop(service);
    /* Nobody waits for what is loaded: it is for the token to be left well. */
    while (good && service != NULL && loader_is_busy(loader) &&
           pool_now() - begin < options->drain * 1000)
        (void)usleep(10000);
    log_event(LOG_INFO, "stopped", "{s:b}", "loading",
              (int)loader_is_busy(loader));
    if (!good || loader_is_busy(loader))
        leave(good ? CLI_OK : CLI_FAILED);
    return good;
}

/* Load and serve; false: it could not, which was logged. */
static bool load_and_serve(const struct options *options,
                           struct generations *gs, struct audit *audit, int fd,
                           const sigset_t *signals, enum profile_state *state)
{
    struct loader *loader = loader_new(options, gs, audit);
    struct service *service = NULL;
    bool good = loader != NULL;
    int sig = good ? wait_for_load(loader, state) : 0;

    if (sig != 0) {
        good = end(options, NULL, loader, sig);
    } else if (good && (*state == PROFILE_GOOD || *state == PROFILE_AWAY)) {
        service = service_start(options, gs, audit, loader, fd);
        if (service == NULL && loader_is_busy(loader))
            leave(CLI_FAILED);
        good = service != NULL &&
               end(options, service, loader, serve(service, loader, signals));
    } else {
        good = false;
    }
    loader_free(loader);
    return good;
}

static bool load_and_check(struct generations *gs, enum profile_state *state)
{
    struct generation *g;
    bool good;

    *state = generations_load(gs);
    g = generations_get(gs);
    good = *state == PROFILE_GOOD && g->n > 0;
    for (size_t i = 0; good && i < g->n; i++)
        good = profile_probe(g->profiles[i]);
    generations_put(gs, g);
    return good;
}

static bool open_audit(const struct options *options, struct audit **audit)
{
    char error[256];

    if (options->audit == NULL)
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
    } else if (gs != NULL && has_page(options)) {
        good = options->check != 0 ? load_and_check(gs, &state)
                                   : open_audit(options, &audit) &&
                                         load_and_serve(options, gs, audit, fd,
                                                        signals, &state);
    }
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
    if (options.check == 0)
        (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (options.check == 0 && (fd = listen_open(&options)) < 0)
        return CLI_FAILED;
    status =
        listen_drop(options.user) ? run(&options, fd, &signals) : CLI_FAILED;
    listen_end();
    return status;
}
