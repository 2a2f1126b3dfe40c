/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd's threads read, parse and hash, and answer what needs no
 * signature.  A request that needs one is suspended and goes to the pool; what
 * only asks how the HSM is goes to a pool of its own, with one thread, so that
 * neither waits for the other.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "call.h"
#include "connection.h"
#include "listen.h"
#include "log.h"
#include "metrics.h"
#include "rate.h"
#include "service.h"
#include "web.h"

#define HTTP_THREADS   2
#define PROBE_EVERY    3000 /* ms */
#define CONNECTION_BUF ((size_t)128 * 1024)
#define LINGER         200 /* ms */

struct service {
    const struct options *options;
    struct generations *generations;
    struct audit *audit; /* NULL: none */
    struct MHD_Daemon *daemon;
    struct connections *connections;
    struct pool *signers, *askers;
    const struct loader *loader;
    unsigned long long loaded; /* its count, as the last tick saw it */
    atomic_size_t busy;        /* requests between head and answer */
    atomic_size_t jobs;        /* of these, with the pools; CLOSED: no more */
    atomic_bool ending;
    struct rate rate;
    /* When it last signed, 0 if it did not, and when that was tried. */
    atomic_ullong good_at, probed_at; /* pool_now() */
};

#define CLOSED   SIZE_MAX
#define LONG_AGO 1 /* it did sign, or find its key */

#define AWAY "the HSM does not answer; try again"
#define FULL "too many requests wait; try again"

/* Whether what is known of the HSM is fresh. */
static bool is_known(const struct service *s)
{
    uint64_t now = pool_now();

    return now - atomic_load(&s->good_at) < PROBE_EVERY ||
           (atomic_load(&s->good_at) == 0 &&
            now - atomic_load(&s->probed_at) < PROBE_EVERY);
}

/* Whether every profile signs. */
static bool probe(struct service *s, const struct generation *g)
{
    if (!is_known(s)) {
        bool good = g->n > 0;

        for (size_t i = 0; i < g->n && good; i++)
            good = profile_probe(g->profiles[i]);
        atomic_store(&s->probed_at, pool_now());
        atomic_store(&s->good_at, good ? pool_now() : 0);
    }
    return atomic_load(&s->good_at) != 0;
}

static void answer_readiness(struct call *c, bool good)
{
    call_text(c, good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
              good ? "OK" : AWAY);
}

static void sign(struct call *c)
{
    struct service *s = c->owner;

    c->body = BIO_new(BIO_s_mem());
    if (c->body != NULL && profile_sign(c->profile, s->options, &c->request,
                                        c->id, c->body, &c->answer)) {
        atomic_store(&s->good_at, pool_now());
        call_signature(c);
        call_audit(c, s->audit);
        return;
    }
    BIO_free(c->body);
    c->body = NULL;
    if (c->answer.status == 0)
        call_text(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory");
    call_audit(c, s->audit);
    /* Whoever asks has it looked at. */
    if (c->answer.status >= MHD_HTTP_INTERNAL_SERVER_ERROR)
        atomic_store(&s->good_at, 0);
}

/* As pool.h says.  After the resumption c is not ours any more. */
static void run(struct job *job, bool late)
{
    struct call *c = (struct call *)job;
    struct service *s = c->owner;

    if (late)
        call_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, FULL);
    else if (c->path == CALL_READY)
        answer_readiness(c, probe(s, c->generation));
    else
        sign(c);
    MHD_resume_connection(c->connection);
    atomic_fetch_sub(&s->jobs, 1);
}

/* One job more, if the service is not at its end. */
static bool add_job(struct service *s)
{
    size_t n = atomic_load(&s->jobs);

    while (n != CLOSED && !atomic_compare_exchange_weak(&s->jobs, &n, n + 1))
        continue;
    return n != CLOSED;
}

/*
 * To one of the pools, unless there is no room.  A job may wait for a quarter
 * of the time: main.c gives the rest to what the provider tries again.
 */
static void submit(struct call *c, struct pool *pool)
{
    struct service *s = c->owner;

    if (!add_job(s)) {
        call_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, "the service is ending");
        return;
    }
    c->job.run = run;
    c->job.deadline = pool_now() + c->options->deadline / 4;
    MHD_suspend_connection(c->connection);
    c->suspended = true;
    if (pool_submit(pool, &c->job))
        return;
    atomic_fetch_sub(&s->jobs, 1);
    call_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, FULL);
    MHD_resume_connection(c->connection);
}

static void answer_metrics(struct service *s, struct call *c)
{
    const struct metrics_now now = {
        .requests = atomic_load(&s->busy),
        .generation = loader_count(s->loader),
        .expires = generation_expires(c->generation),
        .up = atomic_load(&s->good_at) != 0,
    };

    c->body = BIO_new(BIO_s_mem());
    c->type = METRICS_TYPE;
    c->answer.status = MHD_HTTP_OK;
    if (c->body == NULL || !metrics_write(c->body, &now))
        c->answer.status = MHD_HTTP_INTERNAL_SERVER_ERROR;
}

static void answer_page(struct service *s, struct call *c)
{
    const char *type;

    c->body = web_read(s->options->web, c->url, &type);
    if (c->body == NULL) {
        call_text(c, MHD_HTTP_NOT_FOUND, "Not found");
        return;
    }
    c->type = type;
    c->answer.status = MHD_HTTP_OK;
}

static void refuse_expired(struct call *c)
{
    log_event(LOG_ERROR, "signature", "{s:s, s:s, s:s}", "id", c->id, "profile",
              c->profile->name, "reason",
              "its certificate has expired: replace it");
    call_text(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "the certificate has expired");
}

/* A request for a signature or certificates has come, and is well formed. */
static void decide_sign(struct service *s, struct call *c)
{
    if (c->generation->n == 0)
        call_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, AWAY);
    else if (!call_choose(c))
        return;
    else if (c->request.action == ACTION_CERTIFICATES)
        call_json(c, c->profile->certificates);
    else if (profile_has_expired(c->profile))
        refuse_expired(c);
    else if (!rate_take_now(&s->rate, s->options->rate))
        call_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, FULL);
    else
        submit(c, s->signers);
}

/* The request is complete: answer it, or have that done. */
static void decide(struct service *s, struct call *c)
{
    if (c->path == CALL_READY) {
        if (!is_known(s))
            submit(c, s->askers);
        else
            answer_readiness(c, atomic_load(&s->good_at) != 0);
    } else if (c->path == CALL_WEB) {
        answer_page(s, c);
    } else if (c->path == CALL_METRICS) {
        answer_metrics(s, c);
    } else if (c->path != CALL_SIGN) {
        call_text(c, MHD_HTTP_OK, "OK");
    } else if (request_end(&c->request, &c->answer)) {
        decide_sign(s, c);
    }
}

static bool expects_word(struct MHD_Connection *connection)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Expect") !=
           NULL;
}

/* libmicrohttpd calls it for the head, each piece of the body, and the end. */
static enum MHD_Result handle(void *cls, struct MHD_Connection *connection,
                              const char *url, const char *method,
                              const char *version, const char *data,
                              size_t *size, void **state)
{
    struct service *s = cls;
    struct call *c = *state;
    size_t len = *size;

    (void)version;
    if (c == NULL) {
        *state = c =
            call_begin(connection, url, method, s->options, s->generations);
        if (c == NULL)
            return MHD_NO;
        c->owner = s;
        atomic_fetch_add(&s->busy, 1);
        connections_phase(s->connections, connection, CONNECTION_BODY);
        /* Who asks first is told before the body is sent, whose end may not
         * be known. */
        return c->answer.status != 0 && (c->closes || expects_word(connection))
                   ? call_answer(c, true)
                   : MHD_YES;
    }
    *size = 0;
    if (len > 0)
        return call_feed(c, data, len) ? MHD_YES : MHD_NO;
    connections_phase(s->connections, connection, CONNECTION_BUSY);
    if (!c->suspended && c->answer.status == 0)
        decide(s, c);
    else
        c->suspended = false;
    /* When the pool has done it this is called again. */
    return c->suspended ? MHD_YES : call_answer(c, atomic_load(&s->ending));
}

static void completed(void *cls, struct MHD_Connection *connection,
                      void **state, enum MHD_RequestTerminationCode why)
{
    struct service *s = cls;
    struct call *c = *state;

    if (c == NULL)
        return;
    connections_phase(s->connections, connection, CONNECTION_HEAD);
    c->answered = c->answered && why == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    call_end(c);
    *state = NULL;
    atomic_fetch_sub(&s->busy, 1);
}

__attribute__((format(printf, 2, 0))) static void
log_http(void *cls, const char *format, va_list args)
{
    char text[256];

    (void)cls;
    (void)vsnprintf(text, sizeof(text), format, args);
    log_printable(text);
    log_event(LOG_WARNING, "http", "{s:s}", "reason", text);
}

/* What it allows, and what one process may have open besides. */
static unsigned connection_limit(const struct options *o)
{
    struct rlimit limit;
    rlim_t besides = o->workers + 64;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < o->connections + besides)
        return limit.rlim_cur > 2 * besides
                   ? (unsigned)(limit.rlim_cur - besides)
                   : (unsigned)besides;
    return (unsigned)o->connections;
}

static bool no_room(void)
{
    log_event(LOG_ERROR, "service", "{s:s}", "reason",
              "no memory, threads or files for it");
    return false;
}

/*
 * poll(), for with epoll libmicrohttpd misses the end of a connection that
 * comes together with the last bytes, and such a request would never end.
 */
static bool serve(struct service *s, int fd)
{
    const unsigned int flags = MHD_USE_POLL_INTERNAL_THREAD |
                               MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    const struct options *o = s->options;
    unsigned max = connection_limit(o);

    s->connections = connections_new(max, o->idle * 1000, o->body_time * 1000);
    if (s->connections == NULL)
        return no_room();
    if (!listen_begin(fd, o))
        return false;
    s->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, handle, s, MHD_OPTION_EXTERNAL_LOGGER, log_http,
        NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED,
        completed, s, MHD_OPTION_NOTIFY_CONNECTION, connections_notify,
        s->connections, MHD_OPTION_CONNECTION_LIMIT, max,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned int)HTTP_THREADS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BUF,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)o->idle, MHD_OPTION_END);
    return s->daemon != NULL || no_room();
}

void service_tick(struct service *s)
{
    unsigned long long loaded = loader_count(s->loader);

    connections_sweep(s->connections);
    pool_expire(s->signers);
    pool_expire(s->askers);
    if (loaded != s->loaded)
        atomic_store(&s->good_at, LONG_AGO);
    s->loaded = loaded;
}

struct service *service_start(const struct options *options,
                              struct generations *generations,
                              struct audit *audit, const struct loader *loader,
                              int fd)
{
    struct service *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->options = options;
    s->generations = generations;
    s->audit = audit;
    s->loader = loader;
    s->signers = pool_new(options->workers, options->queue);
    s->askers = pool_new(1, options->queue);
    s->loaded = loader_count(loader);
    atomic_init(&s->good_at, s->loaded > 0 ? LONG_AGO : 0);
    if (s->signers != NULL && s->askers != NULL ? serve(s, fd) : no_room())
        return s;
    (void)service_stop(s);
    return NULL;
}

/* Whoever has connected already is not to be turned away. */
static void take_backlog(struct service *s)
{
    int fd = MHD_quiesce_daemon(s->daemon), client;
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);

    if (fd < 0)
        return;
    while ((client = accept4(fd, (struct sockaddr *)&address, &len,
                             SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0 ||
           errno == ECONNABORTED || errno == EINTR) {
        if (client >= 0)
            (void)MHD_add_connection(s->daemon, client,
                                     (struct sockaddr *)&address, len);
        len = sizeof(address);
    }
    (void)close(fd);
}

bool service_stop(struct service *s)
{
    uint64_t begin = pool_now(), now = begin;
    size_t none = 0;

    atomic_store(&s->ending, true);
    if (s->daemon != NULL)
        take_backlog(s);
    /* A request may be on its way on a connection that was open before. */
    while (s->daemon != NULL &&
           (atomic_load(&s->busy) > 0 || atomic_load(&s->jobs) > 0 ||
            now - begin < LINGER) &&
           now - begin < s->options->drain * 1000) {
        (void)usleep(10000);
        pool_expire(s->signers);
        pool_expire(s->askers);
        now = pool_now();
    }
    /*
     * Whoever has not sent all of a request has no answer to wait for; and no
     * connection is suspended from now on, which MHD_stop_daemon() forbids.
     */
    if (!atomic_compare_exchange_strong(&s->jobs, &none, CLOSED)) {
        log_event(LOG_ERROR, "stop", "{s:i, s:s}", "requests", (int)none,
                  "reason", "they did not end in time");
        return false;
    }
    if (s->daemon != NULL)
        MHD_stop_daemon(s->daemon);
    pool_free(s->signers);
    pool_free(s->askers);
    loader_log_mark(s->audit, s->options->audit);
    connections_free(s->connections);
    free(s);
    return true;
}
