/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of hsmsign sign --out-dir.
 *
 * Each takes the next document, looks whether it has a valid signature, and
 * else makes one.  All share one key: the provider's pool gives the sessions
 * out, first come, first served, so that more threads than sessions keep the
 * token busy while others read and write files.  A thread that found no session
 * in time was one too many: it gives its document back and ends.
 *
 * A failure may concern the one document, or the rest as well: then it is said
 * once and nothing more is tried.  Of one that the token reports nobody can
 * tell, so that the document is tried again at the end, unless too many follow
 * each other.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <openssl/err.h>
#include "hsmsign_batch.h"
#include "pkcs11/rv.h"

#define REASON_MAX     1024
#define NAME_SHOWN_MAX 4096
#define REFRESH_MS     250
/* So many failures of the token in a row are enough, or as many as threads. */
#define IN_A_ROW 8

/* Posted when there is something for the thread that waits. */
static sem_t wake;

struct run {
    const struct batch *batch;
    struct check check;
    bool terminal; /* shows progress */
    struct timespec start;

    pthread_mutex_t lock; /* of all below, and of standard error */
    size_t next;          /* in the list */
    size_t *later;        /* given back: for when the list is at its end */
    size_t n_later;
    bool *again;  /* which document is there for the second time */
    size_t alive; /* threads */
    size_t n_signed, n_skipped, n_failed, in_a_row;
    bool stopped;
    int shown; /* characters of progress on the line */
};

/* What came of one document. */
struct result {
    bool ok, skipped;
    const char *doing; /* what failed */
    char name[NAME_SHOWN_MAX];
    char reason[REASON_MAX];
    unsigned long error;
};

enum concern {
    THE_DOCUMENT,
    THE_TOKEN, /* which may come back */
    SESSIONS,  /* other threads have them all */
    THE_REST
};

static const struct p11_rv_info *rv_of(unsigned long error)
{
    const char *reason = ERR_reason_error_string(error);
    const struct p11_rv_info *table;
    size_t n, i;

    table = p11_rv_table(&n);
    for (i = 0; reason != NULL && i < n; i++) {
        if (strcmp(table[i].reason, reason) == 0)
            return &table[i];
    }
    return NULL;
}

static enum concern concern_of(unsigned long error)
{
    static const int rest[] = { ENOSPC, EDQUOT, EROFS, EMFILE, ENFILE, ENOMEM };
    const struct p11_rv_info *info;
    size_t i;

    if (ERR_SYSTEM_ERROR(error)) {
        for (i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
            if (ERR_GET_REASON(error) == rest[i])
                return THE_REST;
        }
        return THE_DOCUMENT;
    }
    info = rv_of(error);
    if (info != NULL && info->rv == P11_SESSION_WAIT)
        return SESSIONS;
    if (info != NULL && info->class == P11_CLASS_PIN)
        return THE_REST;
    /* What signer_copy() says of a document that is too long. */
    if (ERR_GET_LIB(error) == ERR_LIB_EVP &&
        ERR_GET_REASON(error) == EVP_R_INVALID_LENGTH)
        return THE_DOCUMENT;
    return THE_TOKEN;
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) +
           (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* The functions from here to take() are called with the lock held. */

static void clear_progress(struct run *run)
{
    if (run->shown > 0)
        (void)fprintf(stderr, "\r%*s\r", run->shown, "");
    run->shown = 0;
}

static void show_progress(struct run *run)
{
    size_t total = run->batch->list->count;
    size_t done = run->n_signed + run->n_skipped + run->n_failed;
    double rate = (double)done / seconds_since(&run->start);
    char left[32] = "?", line[160];
    int len;

    if (done > 0) {
        unsigned long s = (unsigned long)((double)(total - done) / rate);

        (void)snprintf(left, sizeof(left), "%lu:%02lu:%02lu", s / 3600,
                       s / 60 % 60, s % 60);
    }
    len = snprintf(line, sizeof(line),
                   "hsmsign: %zu of %zu, %zu failed, %.0f/s, %s left", done,
                   total, run->n_failed, rate, left);
    /* Blanks over what was longer. */
    (void)fprintf(stderr, "\r%s%*s", line,
                  run->shown > len ? run->shown - len : 0, "");
    run->shown = len > run->shown ? len : run->shown;
}

static void summarize(struct run *run, const char *end)
{
    size_t done = run->n_signed + run->n_skipped + run->n_failed;
    size_t left = run->batch->list->count - done;
    char rest[64] = "";

    clear_progress(run);
    if (run->batch->quiet)
        return;
    if (left > 0)
        (void)snprintf(rest, sizeof(rest), ", %zu left", left);
    (void)fprintf(stderr,
                  "hsmsign: %s%zu signed, %zu skipped, %zu failed%s, %.2f s\n",
                  end, run->n_signed, run->n_skipped, run->n_failed, rest,
                  seconds_since(&run->start));
}

static void thread_ends(struct run *run)
{
    if (--run->alive == 0)
        (void)sem_post(&wake);
}

/* What is said of the rest counts as left, not as failed. */
static void stop(struct run *run, const struct result *r)
{
    if (!run->stopped)
        (void)cli_fail_for(r->reason, "stopped: cannot %s %s", r->doing,
                           r->name);
    run->stopped = true;
}

/* Returns whether the thread is to go on. */
static bool count_failure(struct run *run, size_t i, const struct result *r)
{
    enum concern concern = concern_of(r->error);
    size_t enough = run->batch->threads;

    clear_progress(run);
    if (concern == SESSIONS && run->alive > 1) {
        run->later[run->n_later++] = i;
        thread_ends(run);
        return false;
    }
    if (enough < IN_A_ROW)
        enough = IN_A_ROW;
    if (concern == THE_REST ||
        (concern != THE_DOCUMENT &&
         (run->stopped || run->n_signed == 0 || ++run->in_a_row >= enough))) {
        stop(run, r);
    } else if (concern != THE_DOCUMENT && !run->again[i]) {
        run->again[i] = true;
        run->later[run->n_later++] = i;
    } else {
        run->n_failed++;
        (void)cli_fail_for(r->reason, "cannot %s %s", r->doing, r->name);
    }
    return true;
}

static bool take(struct run *run, size_t *i)
{
    bool more = true;

    (void)pthread_mutex_lock(&run->lock);
    if (!run->stopped && run->next < run->batch->list->count) {
        *i = run->next++;
    } else if (!run->stopped && run->n_later > 0) {
        *i = run->later[--run->n_later];
    } else {
        more = false;
        thread_ends(run);
    }
    (void)pthread_mutex_unlock(&run->lock);
    return more;
}

/* Returns whether the thread is to go on. */
static bool count(struct run *run, size_t i, const struct result *r)
{
    bool more = true;

    (void)pthread_mutex_lock(&run->lock);
    if (r->ok && r->skipped) {
        run->n_skipped++;
    } else if (r->ok) {
        run->n_signed++;
        run->in_a_row = 0;
    } else {
        more = count_failure(run, i, r);
    }
    (void)pthread_mutex_unlock(&run->lock);
    return more;
}

static void fail(struct result *r, const char *doing, const char *name)
{
    r->ok = false;
    r->doing = doing;
    (void)snprintf(r->name, sizeof(r->name), "%s", name);
    r->error = cli_reason(r->reason, sizeof(r->reason));
}

/* Whether path is in place and a signature of in, which is at its beginning. */
static bool is_signed(const struct run *run, BIO *in, const char *path)
{
    BIO *sig = BIO_new_file(path, "rb");
    bool yes = sig != NULL && check_detached(&run->check, in, sig);

    BIO_free(sig);
    ERR_clear_error();
    return yes;
}

static bool is_regular(BIO *in)
{
    struct stat st;
    FILE *fp = NULL;

    return BIO_get_fp(in, &fp) > 0 && fstat(fileno(fp), &st) == 0 &&
           S_ISREG(st.st_mode);
}

static void make_signature(const struct batch *b, BIO *in, const char *path,
                           const char *out_path, struct result *r)
{
    struct output out;
    BIO *mem = BIO_new(BIO_s_mem());
    bool opened = output_open(&out, out_path);
    bool made = opened && mem != NULL &&
                (b->raw ? signer_raw(b->signer, in, mem)
                        : signer_cms(b->signer, b->cades, in, mem));

    if (opened && !made)
        fail(r, "sign", path);
    else if (!made || !output_commit(&out, mem, false))
        fail(r, "write", out_path);
    output_discard(&out);
    BIO_free(mem);
}

static void do_document(const struct run *run, size_t i, struct result *r)
{
    const struct batch *b = run->batch;
    const char *path = b->list->path[i];
    char *out_path = batch_output(b->dir, path, b->extension);
    BIO *in = BIO_new_file(path, "rb");
    struct stat st;

    r->ok = true;
    r->skipped = false;
    if (in == NULL || out_path == NULL) {
        fail(r, "read", path);
    } else if (lstat(out_path, &st) == 0) {
        /* A link may lead anywhere, and a pipe keep us waiting. */
        if (!S_ISREG(st.st_mode)) {
            errno = EEXIST;
            cli_raise_errno("lstat");
            fail(r, "write", out_path);
        } else if (!b->force && is_regular(in)) {
            r->skipped = is_signed(run, in, out_path);
            if (BIO_seek(in, 0) < 0)
                fail(r, "read", path);
        }
    }
    if (r->ok && !r->skipped)
        make_signature(b, in, path, out_path, r);
    ERR_clear_error();
    BIO_free(in);
    free(out_path);
}

static void *thread_main(void *arg)
{
    struct run *run = arg;
    struct result r;
    size_t i;

    while (take(run, &i)) {
        do_document(run, i, &r);
        if (!count(run, i, &r))
            break;
    }
    return NULL;
}

/* The public half, away from the token; NULL where nothing tells it. */
static EVP_PKEY *public_half(const struct signer *s)
{
    const unsigned char *p;
    unsigned char *der = NULL;
    EVP_PKEY *key = NULL;
    int len;

    if (s->cert != NULL)
        return X509_get_pubkey(s->cert);
    len = i2d_PUBKEY(s->key, &der);
    p = der;
    if (len > 0)
        key = d2i_PUBKEY(NULL, &p, len);
    OPENSSL_free(der);
    ERR_clear_error();
    return key;
}

/* A signature was made before, perhaps by a certificate that expired since. */
static int check_init(struct check *c, const struct batch *b)
{
    const struct signer *s = b->signer;

    c->raw = b->raw;
    c->cades = b->cades;
    c->pss = s->pss;
    c->md = signer_hashes_itself(s->key) ? NULL : EVP_MD_get0_name(s->md);
    if (c->raw) {
        c->key = public_half(s);
        return 1;
    }
    c->signers = sk_X509_new_null();
    if (c->signers == NULL || !sk_X509_push(c->signers, s->cert))
        return 0;
    c->store = check_trust(c->signers, true, true);
    return c->store != NULL;
}

static void check_clear(struct check *c)
{
    EVP_PKEY_free(c->key);
    X509_STORE_free(c->store);
    sk_X509_free(c->signers);
}

/* Threads that a signal does not interrupt; returns how many there are. */
static size_t start_threads(struct run *run, pthread_t *threads, size_t n)
{
    sigset_t all, before;
    size_t i = 0;

    run->alive = n;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (i < n &&
           (errno = pthread_create(&threads[i], NULL, thread_main, run)) == 0)
        i++;
    if (i == 0)
        cli_raise_errno("pthread_create");
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_mutex_lock(&run->lock);
    run->alive -= n - i;
    (void)pthread_mutex_unlock(&run->lock);
    return i;
}

static void wait_for_news(bool timed)
{
    struct timespec at;

    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_nsec += REFRESH_MS * 1000000L;
    at.tv_sec += at.tv_nsec / 1000000000L;
    at.tv_nsec %= 1000000000L;
    (void)(timed ? sem_timedwait(&wake, &at) : sem_wait(&wake));
}

static void watch(struct run *run)
{
    bool done = false;

    while (!done) {
        (void)pthread_mutex_lock(&run->lock);
        if (output_caught() != 0) {
            summarize(run, "interrupted: ");
            output_die(output_caught());
        }
        done = run->alive == 0;
        if (!done && run->terminal)
            show_progress(run);
        (void)pthread_mutex_unlock(&run->lock);
        if (!done)
            wait_for_news(run->terminal);
    }
}

int batch_sign(const struct batch *batch)
{
    struct run run = { .batch = batch,
                       .terminal = !batch->quiet && isatty(STDERR_FILENO),
                       .lock = PTHREAD_MUTEX_INITIALIZER };
    size_t n = batch->list->count, started = 0, i;
    pthread_t threads[BATCH_THREADS_MAX];
    int status = CLI_OK;

    n = n < batch->threads ? n : batch->threads;
    clock_gettime(CLOCK_MONOTONIC, &run.start);
    run.later = calloc(batch->list->count + 1, sizeof(*run.later));
    run.again = calloc(batch->list->count + 1, sizeof(*run.again));
    if (run.later == NULL || run.again == NULL || sem_init(&wake, 0, 0) != 0 ||
        !check_init(&run.check, batch)) {
        status = cli_fail("memory");
        goto out;
    }
    output_watch(&wake);
    started = start_threads(&run, threads, n);
    if (started == 0 && n > 0) {
        status = cli_fail("threads");
        goto out;
    }
    watch(&run);
    /* Once for all: what a crash cuts short is made anew by the next run. */
    if (run.n_signed > 0 && !output_sync(batch->dir))
        status = cli_fail("%s", batch->dir);
    if (output_caught() != 0)
        output_die(output_caught());
    summarize(&run, "");
    if (run.stopped)
        status = CLI_FAILED;
    else if (run.n_failed > 0 && status == CLI_OK)
        status = CLI_SOME_FAILED;
out:
    for (i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    output_watch(NULL);
    check_clear(&run.check);
    free(run.later);
    free(run.again);
    return status;
}
