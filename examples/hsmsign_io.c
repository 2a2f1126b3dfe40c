/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents, signatures and certificates: the files of hsmsign.
 *
 * A document is read through a BIO that counts, for the progress.  A signature
 * is made in memory, a few kilobytes, and written to a file that is not there
 * under its name before all of it is: whoever waits for that name never reads
 * half a signature, and a failure leaves the old file as it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include "hsmsign_tool.h"

/* Documents below this size, in bytes, are done before one could read it. */
#define PROGRESS_FROM ((uint64_t)64 << 20)
#define PROGRESS_STEP ((uint64_t)16 << 20)

static void show_progress(struct input *in)
{
    unsigned long long done = in->done >> 20, size = in->size >> 20;

    if (in->size > PROGRESS_FROM)
        (void)fprintf(stderr, "\rhsmsign: read %llu of %llu MiB", done, size);
    else
        (void)fprintf(stderr, "\rhsmsign: read %llu MiB", done);
    in->shown = in->done;
}

/* Called by libcrypto after each read; what it returns is the read's result. */
static long count_read(BIO *bio, int oper, const char *argp, size_t len,
                       int argi, long argl, int ret, size_t *processed)
{
    struct input *in = (struct input *)(void *)BIO_get_callback_arg(bio);

    (void)argp;
    (void)len;
    (void)argi;
    (void)argl;
    if (oper != (BIO_CB_READ | BIO_CB_RETURN))
        return ret;
    if (ret > 0)
        in->done += *processed;
    if (ret <= 0 && in->shown != 0) {
        /* The end: give the line back to whoever writes next. */
        (void)fprintf(stderr, "\r%40s\r", "");
        in->shown = 0;
    } else if (in->done >= PROGRESS_FROM &&
               in->done - in->shown >= PROGRESS_STEP) {
        show_progress(in);
    }
    return ret;
}

int input_open(struct input *in, const char *path)
{
    struct stat st;
    FILE *fp = NULL;

    *in = (struct input){ 0 };
    if (strcmp(path, "-") == 0)
        in->bio = BIO_new_fp(stdin, BIO_NOCLOSE);
    else
        in->bio = BIO_new_file(path, "rb");
    if (in->bio == NULL)
        return 0;
    if (BIO_get_fp(in->bio, &fp) > 0 && fstat(fileno(fp), &st) == 0 &&
        S_ISREG(st.st_mode))
        in->size = (uint64_t)st.st_size;
    if (isatty(STDERR_FILENO)) {
        BIO_set_callback_ex(in->bio, count_read);
        BIO_set_callback_arg(in->bio, (char *)in);
    }
    return 1;
}

void input_close(struct input *in)
{
    BIO_free_all(in->bio);
    *in = (struct input){ 0 };
}

/*
 * The file to remove when a signal ends the program: a copy, so that the
 * handler never sees memory that was freed.
 */
static char doomed[4096];
static volatile sig_atomic_t is_doomed;

static void on_signal(int sig)
{
    if (is_doomed)
        (void)unlink(doomed);
    /* SA_RESETHAND: this time it ends the program, with the right status. */
    (void)raise(sig);
}

static void remove_on_signal(const char *path)
{
    static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGALRM, SIGTERM };
    struct sigaction action = { 0 }, old;
    size_t i;

    is_doomed = 0;
    if (path == NULL || strlen(path) >= sizeof(doomed))
        return;
    (void)snprintf(doomed, sizeof(doomed), "%s", path);
    is_doomed = 1;
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND;
    (void)sigemptyset(&action.sa_mask);
    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        /* nohup's SIG_IGN stays. */
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            (void)sigaction(signals[i], &action, NULL);
    }
}

/* A new file in target's directory; its name is short, target's may not be. */
static int open_temp(struct output *out)
{
    const char *slash = strrchr(out->target, '/');
    int dirlen = slash == NULL ? 0 : (int)(slash - out->target) + 1;
    unsigned int i;

    for (i = 0; i < 100; i++) {
        if (asprintf(&out->temp, "%.*s.hsmsign-%ld-%u", dirlen, out->target,
                     (long)getpid(), i) < 0) {
            out->temp = NULL;
            cli_raise_errno("asprintf");
            return 0;
        }
        out->fd = open(out->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                       S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
        if (out->fd >= 0) {
            remove_on_signal(out->temp);
            return 1;
        }
        free(out->temp);
        out->temp = NULL;
        if (errno != EEXIST)
            break;
    }
    cli_raise_errno("open");
    return 0;
}

int output_open(struct output *out, const char *path)
{
    struct stat st;

    *out = (struct output){ .fd = -1 };
    if (strcmp(path, "-") == 0) {
        out->fd = STDOUT_FILENO;
        return 1;
    }
    if (stat(path, &st) != 0) {
        if (errno == ENOENT)
            out->target = strdup(path);
    } else if (!S_ISREG(st.st_mode)) {
        /* A pipe, a terminal, /dev/null: nothing to put in its place. */
        out->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    } else if (access(path, W_OK) == 0) {
        /* A symbolic link stays one: the file it leads to is replaced. */
        out->target = realpath(path, NULL);
    }
    if (out->target == NULL && out->fd < 0) {
        cli_raise_errno("open");
        return 0;
    }
    return out->target == NULL || open_temp(out);
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            cli_raise_errno("write");
            return 0;
        }
        data += n;
        len -= (size_t)n;
    }
    return 1;
}

static int output_close(struct output *out)
{
    int fd = out->fd;

    /* Standard output is closed, and that checked, when the program ends. */
    out->fd = -1;
    if (fd != STDOUT_FILENO && fd >= 0 && close(fd) != 0) {
        cli_raise_errno("close");
        return 0;
    }
    return 1;
}

int output_commit(struct output *out, BIO *mem)
{
    char *data = NULL;
    long len = BIO_get_mem_data(mem, &data);
    int ok = write_all(out->fd, data, (size_t)len);

    if (ok && out->temp != NULL && fsync(out->fd) != 0) {
        cli_raise_errno("fsync");
        ok = 0;
    }
    ok = output_close(out) && ok;
    if (ok && out->temp != NULL) {
        if (rename(out->temp, out->target) == 0) {
            remove_on_signal(NULL);
            free(out->temp);
            out->temp = NULL;
        } else {
            cli_raise_errno("rename");
            ok = 0;
        }
    }
    output_discard(out);
    return ok;
}

void output_discard(struct output *out)
{
    if (out->fd >= 0 && out->fd != STDOUT_FILENO)
        (void)close(out->fd);
    if (out->temp != NULL) {
        (void)unlink(out->temp);
        remove_on_signal(NULL);
    }
    free(out->temp);
    free(out->target);
    *out = (struct output){ .fd = -1 };
}

const char *input_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

const char *output_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard output" : path;
}

bool same_file(const char *a, const char *b)
{
    struct stat sa, sb;

    return a != NULL && b != NULL && stat(a, &sa) == 0 && stat(b, &sb) == 0 &&
           sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static int push_cert(STACK_OF(X509) * certs, X509 *cert)
{
    int ok =
        X509_add_cert(certs, cert, X509_ADD_FLAG_UP_REF | X509_ADD_FLAG_NO_DUP);

    X509_free(cert);
    return ok;
}

static bool at_pem_end(void)
{
    unsigned long error = ERR_peek_last_error();

    return ERR_GET_LIB(error) == ERR_LIB_PEM &&
           ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

int certs_load(const char *path, STACK_OF(X509) * certs)
{
    BIO *bio = BIO_new_file(path, "rb");
    X509 *cert = NULL;
    int n = 0, ok = bio != NULL;
    char no_password[1] = "";

    (void)ERR_set_mark();
    while (ok &&
           (cert = PEM_read_bio_X509(bio, NULL, NULL, no_password)) != NULL) {
        ok = push_cert(certs, cert);
        n++;
    }
    if (!ok || !at_pem_end()) {
        /* Not the end but a fault: a chain must not be cut there in silence. */
        ok = 0;
    } else if (n == 0 && BIO_seek(bio, 0) == 0 &&
               (cert = d2i_X509_bio(bio, NULL)) != NULL) {
        ok = push_cert(certs, cert);
    } else {
        ok = n > 0;
    }
    if (ok)
        (void)ERR_pop_to_mark();
    else
        (void)ERR_clear_last_mark();
    BIO_free(bio);
    return ok;
}

bool is_store_uri(const char *name)
{
    return OPENSSL_strncasecmp(name, "pkcs11:", 7) == 0 ||
           OPENSSL_strncasecmp(name, "file:", 5) == 0;
}

int certs_load_uri(const char *uri, const UI_METHOD *ui, STACK_OF(X509) * certs)
{
    OSSL_STORE_CTX *store;
    int n = 0, ok;

    /* What is in the queue afterwards is the store's. */
    ERR_clear_error();
    store = OSSL_STORE_open(uri, ui, NULL, NULL, NULL);
    ok = store != NULL && OSSL_STORE_expect(store, OSSL_STORE_INFO_CERT) > 0;
    while (ok && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        X509 *cert = info != NULL ? OSSL_STORE_INFO_get1_CERT(info) : NULL;

        if (cert != NULL) {
            ok = push_cert(certs, cert);
            n++;
        }
        /* NULL is a fault if it says why: a file's end is NULL as well. */
        ok = ok && (info != NULL || ERR_peek_error() == 0);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    if (ok && n == 0)
        ERR_raise(ERR_LIB_OSSL_STORE, OSSL_STORE_R_NOT_A_CERTIFICATE);
    return ok && n > 0;
}

const UI_METHOD *pin_prompt(const char *in)
{
    int fd;

    if (strcmp(in, "-") != 0)
        return UI_OpenSSL();
    /* Without a terminal UI_OpenSSL reads the PIN from standard input. */
    fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return NULL;
    (void)close(fd);
    return UI_OpenSSL();
}
