/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents and certificates: the files that hsmsign reads.
 *
 * A document is read through a BIO that counts, for the progress.
 */
#include <fcntl.h>
#include <stdio.h>
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

const char *input_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard input" : path;
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
