/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign sign: its options, and the order of things.  All that can be wrong
 * without the token (options, files, certificates, a place for the result) is
 * checked before the token is touched: a PIN has few tries.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/err.h>
#include "hsmsign_batch.h"

enum {
    KEY,
    CERT,
    CHAIN,
    DIGEST,
    PSS,
    FORMAT,
    IN,
    OUT,
    OUT_DIR,
    FILES_FROM,
    THREADS,
    FORCE,
    QUIET
};

static const struct cli_option options[] = {
    [KEY] = { "key", "URI", true,
              "the private key: a pkcs11: URI, another OSSL_STORE\n"
              "                      URI or a PEM file" },
    [CERT] = { "cert", "FILE", false,
               "its certificate (PEM or DER), or a pkcs11: URI; cms\n"
               "                      and cades need it" },
    [CHAIN] = { "chain", "FILE", false,
                "further certificates to put inside (PEM)" },
    [DIGEST] = { "digest", "NAME", false, "sha256 (default), sha384, ..." },
    [PSS] = { "pss", NULL, false, "RSA-PSS, salt as long as the digest" },
    [FORMAT] = { "format", "FORMAT", true, "raw, cms or cades" },
    [IN] = { "in", "FILE", false, "the document; - is standard input" },
    [OUT] = { "out", "FILE", false, "the signature; - is standard output" },
    [OUT_DIR] = { "out-dir", "DIR", false,
                  "instead: sign each FILE, into DIR/FILE.p7s or .sig,\n"
                  "                      unless a valid signature is there" },
    [FILES_FROM] = { "files-from", "FILE", false,
                     "and what FILE names, each ended by a NUL (find\n"
                     "                      -print0); - is standard input" },
    [THREADS] = { "threads", "N", false,
                  "sign N at once; more than there are sessions is\n"
                  "                      fine (default 64)" },
    [FORCE] = { "force", NULL, false, "sign what has a valid signature, too" },
    [QUIET] = { "quiet", NULL, false, "say nothing but what failed" },
};

static const struct cli_command command = {
    .name = "sign",
    .usage =
        "sign --key URI [--cert FILE] [--chain FILE]\n"
        "           [--digest NAME] [--pss] --format raw|cms|cades\n"
        "           (--in FILE --out FILE | --out-dir DIR\n"
        "           [--files-from FILE] [--threads N] [--force] [--quiet]\n"
        "           [FILE]...)",
    .about = "Sign a document, or many, with a private key.",
    .operands = true,
    .options = options,
    .n_options = sizeof(options) / sizeof(options[0]),
};

enum format { RAW, CMS, CADES };

/* Owns all but the options. */
struct job {
    const struct cli_values *values;
    const char *const *option; /* the same values' */
    enum format format;
    struct signer signer;
    EVP_MD *md; /* the same as signer.md, which is const */
    struct input in;
    struct output out;
    BIO *result;
    struct batch_list list; /* of --out-dir */
    size_t threads;
};

static int parse_format(const char *name, enum format *format)
{
    static const char *const names[] = { "raw", "cms", "cades" };
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            *format = (enum format)i;
            return CLI_OK;
        }
    }
    return cli_usage("sign", "--format is raw, cms or cades, not %s", name);
}

/* What belongs to one document, and what to many. */
static int check_mode(struct job *job)
{
    static const int of_one[] = { IN, OUT };
    static const int of_many[] = { FILES_FROM, THREADS, FORCE, QUIET };
    const char *const *o = job->option;
    size_t i;

    if (o[OUT_DIR] != NULL) {
        for (i = 0; i < sizeof(of_one) / sizeof(of_one[0]); i++) {
            if (o[of_one[i]] != NULL)
                return cli_usage("sign", "--%s does not go with --out-dir",
                                 options[of_one[i]].name);
        }
        if (job->values->n_operands == 0 && o[FILES_FROM] == NULL)
            return cli_usage("sign", "no FILE is given, nor --files-from");
        return CLI_OK;
    }
    for (i = 0; i < sizeof(of_one) / sizeof(of_one[0]); i++) {
        if (o[of_one[i]] == NULL)
            return cli_usage("sign", "--%s is missing",
                             options[of_one[i]].name);
    }
    for (i = 0; i < sizeof(of_many) / sizeof(of_many[0]); i++) {
        if (o[of_many[i]] != NULL)
            return cli_usage("sign", "--%s is for --out-dir",
                             options[of_many[i]].name);
    }
    if (job->values->n_operands > 0)
        return cli_usage("sign", "unexpected argument %s",
                         job->values->operands[0]);
    return CLI_OK;
}

static int check_threads(struct job *job)
{
    const char *text = job->option[THREADS];
    char *end = NULL;
    unsigned long n;

    job->threads = BATCH_THREADS_DEFAULT;
    if (text == NULL)
        return CLI_OK;
    n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || n == 0 ||
        n > BATCH_THREADS_MAX)
        return cli_usage("sign", "--threads is a number from 1 to %d, not %s",
                         BATCH_THREADS_MAX, text);
    job->threads = n;
    return CLI_OK;
}

static int check_options(struct job *job)
{
    static const int files[] = { KEY, CERT, CHAIN, IN };
    const char *const *o = job->option;
    int status = check_mode(job);
    size_t i;

    if (status == CLI_OK)
        status = parse_format(o[FORMAT], &job->format);
    if (status == CLI_OK)
        status = check_threads(job);
    if (status != CLI_OK)
        return status;
    if (job->format != RAW && o[CERT] == NULL)
        return cli_usage("sign", "--format %s needs --cert", o[FORMAT]);
    if (job->format == RAW && o[CHAIN] != NULL)
        return cli_usage("sign", "--chain is for cms and cades");
    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (same_file(o[OUT], o[files[i]]))
            return cli_usage("sign", "--out would overwrite --%s",
                             options[files[i]].name);
    }
    return CLI_OK;
}

/* Whom to ask for a PIN, if standard input is not for something else. */
static const UI_METHOD *prompt(const struct job *job)
{
    const char *in = job->option[IN];

    if (in == NULL)
        in = job->option[FILES_FROM];
    return pin_prompt(in != NULL ? in : "");
}

/* The first certificate of --cert is the signer's; the rest is chain. */
static int load_certs(struct job *job)
{
    const char *const *o = job->option;
    struct signer *s = &job->signer;

    if (o[CERT] == NULL)
        return CLI_OK;
    s->chain = sk_X509_new_null();
    if (s->chain == NULL)
        return cli_fail("certificates");
    if (is_store_uri(o[CERT]) && !provider_load(NULL))
        return cli_fail("provider");
    if (is_store_uri(o[CERT]) ? !certs_load_uri(o[CERT], prompt(job), s->chain)
                              : !certs_load(o[CERT], s->chain))
        return cli_fail("certificate %s", o[CERT]);
    /* Into the same list, for which a chain with the signer's is no more. */
    if (o[CHAIN] != NULL && !certs_load(o[CHAIN], s->chain))
        return cli_fail("chain %s", o[CHAIN]);
    s->cert = sk_X509_shift(s->chain);
    return CLI_OK;
}

static int load_key(struct job *job)
{
    const char *const *o = job->option;
    struct signer *s = &job->signer;

    if (!provider_load(NULL))
        return cli_fail("provider");
    s->key = signer_load_key(o[KEY], prompt(job));
    if (s->key == NULL)
        return cli_fail("key %s", o[KEY]);
    /* What the search for a decoder left is no error. */
    ERR_clear_error();
    return s->cert == NULL ? CLI_OK
                           : signer_check_cert(s->key, s->cert, o[CERT]);
}

/* What key, digest and padding have to do with each other. */
static int choose_algorithm(struct job *job)
{
    const char *name = job->option[DIGEST];
    struct signer *s = &job->signer;
    bool own_hash = signer_hashes_itself(s->key);

    /* A key of the type RSA-PSS signs in no other way. */
    s->pss = job->option[PSS] != NULL || EVP_PKEY_is_a(s->key, "RSA-PSS");
    if (s->pss && !EVP_PKEY_is_a(s->key, "RSA") &&
        !EVP_PKEY_is_a(s->key, "RSA-PSS"))
        return cli_usage("sign", "--pss is for RSA keys, this is %s",
                         EVP_PKEY_get0_type_name(s->key));
    if (name != NULL && own_hash && job->format == RAW)
        return cli_usage("sign", "--digest is not for raw %s signatures",
                         EVP_PKEY_get0_type_name(s->key));
    /* RFC 8419, 3.1 and 9882, 3.3: with signed attributes, with SHA-512. */
    if (name == NULL)
        name = own_hash ? "sha512" : "sha256";
    s->md = job->md = EVP_MD_fetch(NULL, name, NULL);
    if (s->md == NULL)
        return cli_fail("digest %s", name);
    if (job->format == CADES && EVP_MD_get_size(s->md) < 32)
        return cli_usage("sign", "cades needs sha256 or longer, not %s", name);
    return CLI_OK;
}

static int make_signature(struct job *job)
{
    const char *const *o = job->option;
    const struct signer *s = &job->signer;
    BIO *in = job->in.bio;
    int ok;

    job->result = BIO_new(BIO_s_mem());
    if (job->result == NULL)
        return cli_fail("memory");
    ok = job->format == RAW
             ? signer_raw(s, in, job->result)
             : signer_cms(s, job->format == CADES, in, job->result);
    if (!ok && job->format == CMS && signer_hashes_itself(s->key))
        return cli_fail("cannot sign %s as cms with an %s key, which takes "
                        "OpenSSL 3.5 or later",
                        input_name(o[IN]), EVP_PKEY_get0_type_name(s->key));
    if (!ok)
        return cli_fail("cannot sign %s", input_name(o[IN]));
    if (!output_commit(&job->out, job->result, true))
        return cli_fail("cannot write %s", output_name(o[OUT]));
    return CLI_OK;
}

static int open_files(struct job *job)
{
    if (!input_open(&job->in, job->option[IN]))
        return cli_fail("cannot read %s", input_name(job->option[IN]));
    if (!output_open(&job->out, job->option[OUT]))
        return cli_fail("cannot write %s", output_name(job->option[OUT]));
    return CLI_OK;
}

static const char *extension(const struct job *job)
{
    return job->format == RAW ? ".sig" : ".p7s";
}

static int list_files(struct job *job)
{
    const char *const *o = job->option;
    const char *const other[] = { o[KEY], o[CERT], o[CHAIN], o[FILES_FROM] };
    struct stat st;
    int status;

    if (!batch_list_read(&job->list, job->values->operands,
                         job->values->n_operands, o[FILES_FROM]))
        return cli_fail("cannot read %s", input_name(o[FILES_FROM]));
    status = batch_list_check(&job->list, o[OUT_DIR], extension(job), other,
                              sizeof(other) / sizeof(other[0]));
    if (status != CLI_OK)
        return status;
    if (mkdir(o[OUT_DIR], S_IRWXU | S_IRWXG | S_IRWXO) != 0 &&
        errno != EEXIST) {
        cli_raise_errno("mkdir");
        return cli_fail("cannot make the directory %s", o[OUT_DIR]);
    }
    if (stat(o[OUT_DIR], &st) == 0 && !S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
    } else if (access(o[OUT_DIR], W_OK | X_OK) == 0) {
        return CLI_OK;
    }
    cli_raise_errno("access");
    return cli_fail("cannot write to %s", o[OUT_DIR]);
}

static int make_signatures(struct job *job)
{
    const struct batch batch = { .signer = &job->signer,
                                 .raw = job->format == RAW,
                                 .cades = job->format == CADES,
                                 .list = &job->list,
                                 .dir = job->option[OUT_DIR],
                                 .extension = extension(job),
                                 .threads = job->threads,
                                 .force = job->option[FORCE] != NULL,
                                 .quiet = job->option[QUIET] != NULL };

    return batch_sign(&batch);
}

int cmd_sign(int argc, char **argv)
{
    static int (*const one[])(struct job *) = {
        check_options, open_files,       load_certs,
        load_key,      choose_algorithm, make_signature,
    };
    static int (*const many[])(struct job *) = {
        check_options, list_files,       load_certs,
        load_key,      choose_algorithm, make_signatures,
    };
    struct job job = { .out = { .fd = -1 } };
    struct cli_values values;
    int status;
    size_t i;

    if (!cli_parse(&command, argc, argv, &values, &status))
        return status;
    job.values = &values;
    job.option = values.option;
    for (i = 0; i < sizeof(one) / sizeof(one[0]) && status == CLI_OK; i++)
        status = values.option[OUT_DIR] == NULL ? one[i](&job) : many[i](&job);
    output_discard(&job.out);
    input_close(&job.in);
    BIO_free(job.result);
    batch_list_free(&job.list);
    EVP_PKEY_free(job.signer.key);
    EVP_MD_free(job.md);
    X509_free(job.signer.cert);
    sk_X509_pop_free(job.signer.chain, X509_free);
    provider_unload();
    return status;
}
