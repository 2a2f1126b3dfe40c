/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign csr and hsmsign selfsign: a certificate request, or a certificate,
 * for a key that cannot leave its token.  On OpenSSL's public API alone.
 *
 * The extensions are those that validators of signed PDFs look for: a key
 * that signs documents and nothing else, of somebody who is no CA.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include "hsmsign_tool.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define DAYS_DEFAULT 365L
#define DAYS_MAX     36500L

/* RFC 5280, 4.1.2.2: at most 20 octets; random ones, as nobody keeps count. */
#define SERIAL_SIZE 20

enum { KEY, SUBJECT, SAN, DIGEST, OUT, DAYS };

static const struct cli_option options[] = {
    [KEY] = { "key", "URI", true, "the private key, as for sign" },
    [SUBJECT] = { "subject", "NAME", true,
                  "for whom: /C=DE/O=Example/CN=Signer" },
    [SAN] = { "san", "LIST", false,
              "alternative names: email:NAME,DNS:NAME,URI:NAME" },
    [DIGEST] = { "digest", "NAME", false, "sha256 (default), sha384, ..." },
    [OUT] = { "out", "FILE", true,
              "where it goes, in PEM; - is standard\n"
              "                      output" },
    [DAYS] = { "days", "N", false, "how long it is valid (default: 365)" },
};

static const struct cli_command csr = {
    .name = "csr",
    .usage = "csr --key URI --subject NAME [--san LIST]\n"
             "           [--digest NAME] --out FILE",
    .about = "Write a certificate request (PKCS #10) for a key, to be sent to "
             "a CA.",
    .options = options,
    .n_options = DAYS,
};

static const struct cli_command selfsign = {
    .name = "selfsign",
    .usage = "selfsign --key URI --subject NAME [--san LIST]\n"
             "           [--digest NAME] [--days N] --out FILE",
    .about = "Write a self-signed certificate for a key.",
    .options = options,
    .n_options = COUNT(options),
};

static const struct {
    int nid;
    const char *value;
} extensions[] = {
    { NID_basic_constraints, "critical,CA:FALSE" },
    { NID_key_usage, "critical,digitalSignature,nonRepudiation" },
    { NID_subject_key_identifier, "hash" },
};

/* Owns all but the options. */
struct job {
    const struct cli_command *command;
    const char *const *option;
    long days;
    X509_NAME *subject;
    EVP_PKEY *key;
    const char *md; /* NULL: the key hashes by itself; not owned */
    struct output out;
    BIO *result;
};

static int check_options(struct job *job)
{
    const char *const *o = job->option;
    char *end = NULL;

    if (same_file(o[OUT], o[KEY]))
        return cli_usage(job->command->name, "--out would overwrite --key");
    errno = 0;
    job->days = o[DAYS] != NULL ? strtol(o[DAYS], &end, 10) : DAYS_DEFAULT;
    if (errno != 0 || job->days < 1 || job->days > DAYS_MAX ||
        (end != NULL && *end != '\0'))
        return cli_usage(job->command->name,
                         "--days is a number from 1 to %ld, not %s", DAYS_MAX,
                         o[DAYS]);
    job->subject = subject_parse(o[SUBJECT]);
    if (job->subject == NULL)
        return cli_fail("--subject %s", o[SUBJECT]);
    return CLI_OK;
}

static int add_extension(STACK_OF(X509_EXTENSION) * *list, X509V3_CTX *ctx,
                         int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, ctx, nid, value);
    int ok = extension != NULL && X509v3_add_ext(list, extension, -1) != NULL;

    X509_EXTENSION_free(extension);
    return ok;
}

/* Its syntax, while there is nothing yet that it could stand in. */
static int check_san(struct job *job)
{
    const char *san = job->option[SAN];
    STACK_OF(X509_EXTENSION) *list = NULL;
    X509V3_CTX ctx;
    int ok = 1;

    X509V3_set_ctx_test(&ctx);
    if (san != NULL)
        ok = add_extension(&list, &ctx, NID_subject_alt_name, san);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return ok ? CLI_OK : cli_fail("--san %s", san);
}

static int open_out(struct job *job)
{
    job->result = BIO_new(BIO_s_mem());
    if (job->result == NULL)
        return cli_fail("memory");
    if (!output_open(&job->out, job->option[OUT]))
        return cli_fail("cannot write %s", output_name(job->option[OUT]));
    return CLI_OK;
}

static int load_key(struct job *job)
{
    const char *uri = job->option[KEY];

    if (!provider_load(NULL))
        return cli_fail("provider");
    job->key = signer_load_key(uri, pin_prompt(uri));
    if (job->key == NULL)
        return cli_fail("key %s", uri);
    /* What the search for a decoder left is no error. */
    ERR_clear_error();
    if (i2d_PUBKEY(job->key, NULL) <= 0) {
        ERR_clear_error();
        return cli_fail("key %s: its public half is not known; put the public "
                        "key on the token, or name its file in "
                        "hsmsign-public-file",
                        uri);
    }
    return CLI_OK;
}

static int choose_digest(struct job *job)
{
    const char *name = job->option[DIGEST];
    EVP_MD *md = NULL;

    job->md = signer_hashes_itself(job->key) ? NULL : "sha256";
    if (name == NULL)
        return CLI_OK;
    if (job->md == NULL)
        return cli_usage(job->command->name, "--digest is not for %s keys",
                         EVP_PKEY_get0_type_name(job->key));
    md = EVP_MD_fetch(NULL, name, NULL);
    if (md == NULL)
        return cli_fail("digest %s", name);
    EVP_MD_free(md);
    job->md = name;
    return CLI_OK;
}

static int make_extensions(const struct job *job, X509V3_CTX *ctx,
                           STACK_OF(X509_EXTENSION) * *list)
{
    const char *san = job->option[SAN];
    size_t i;

    for (i = 0; i < COUNT(extensions); i++) {
        if (!add_extension(list, ctx, extensions[i].nid, extensions[i].value))
            return 0;
    }
    return san == NULL || add_extension(list, ctx, NID_subject_alt_name, san);
}

static EVP_MD_CTX *start_signing(const struct job *job)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;

    /* A key of the type RSA-PSS signs in no other way. */
    if (ctx != NULL &&
        EVP_DigestSignInit_ex(ctx, &pctx, job->md, NULL, NULL, job->key, NULL) >
            0 &&
        (!EVP_PKEY_is_a(job->key, "RSA-PSS") || signer_set_pss(pctx)))
        return ctx;
    EVP_MD_CTX_free(ctx);
    return NULL;
}

static int write_csr(const struct job *job)
{
    X509_REQ *req = X509_REQ_new();
    STACK_OF(X509_EXTENSION) *list = NULL;
    EVP_MD_CTX *ctx = start_signing(job);
    X509V3_CTX v3;
    int ok = 0;

    if (req == NULL || ctx == NULL ||
        !X509_REQ_set_version(req, X509_REQ_VERSION_1) ||
        !X509_REQ_set_subject_name(req, job->subject) ||
        !X509_REQ_set_pubkey(req, job->key))
        goto out;
    X509V3_set_ctx(&v3, NULL, NULL, req, NULL, 0);
    ok = make_extensions(job, &v3, &list) &&
         X509_REQ_add_extensions(req, list) &&
         X509_REQ_sign_ctx(req, ctx) > 0 &&
         PEM_write_bio_X509_REQ(job->result, req);
out:
    EVP_MD_CTX_free(ctx);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    X509_REQ_free(req);
    return ok;
}

static int set_serial(X509 *cert)
{
    unsigned char bytes[SERIAL_SIZE];
    BIGNUM *number = NULL;
    int ok;

    if (RAND_bytes(bytes, (int)sizeof(bytes)) <= 0)
        return 0;
    /* Positive, and none of its octets is zero in front. */
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
    number = BN_bin2bn(bytes, (int)sizeof(bytes), NULL);
    ok = number != NULL &&
         BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok;
}

static int set_extensions(const struct job *job, X509 *cert)
{
    STACK_OF(X509_EXTENSION) *list = NULL;
    X509V3_CTX v3;
    int i, ok;

    X509V3_set_ctx(&v3, cert, cert, NULL, NULL, 0);
    ok = make_extensions(job, &v3, &list);
    for (i = 0; ok && i < sk_X509_EXTENSION_num(list); i++)
        ok = X509_add_ext(cert, sk_X509_EXTENSION_value(list, i), -1);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return ok;
}

static int write_certificate(const struct job *job)
{
    X509 *cert = X509_new();
    EVP_MD_CTX *ctx = start_signing(job);
    int ok =
        cert != NULL && ctx != NULL && X509_set_version(cert, X509_VERSION_3) &&
        set_serial(cert) && X509_set_subject_name(cert, job->subject) &&
        X509_set_issuer_name(cert, job->subject) &&
        X509_gmtime_adj(X509_getm_notBefore(cert), 0) != NULL &&
        X509_time_adj_ex(X509_getm_notAfter(cert), (int)job->days, 0, NULL) !=
            NULL &&
        X509_set_pubkey(cert, job->key) && set_extensions(job, cert) &&
        X509_sign_ctx(cert, ctx) > 0 && PEM_write_bio_X509(job->result, cert);

    EVP_MD_CTX_free(ctx);
    X509_free(cert);
    return ok;
}

static int make(struct job *job)
{
    const char *path = job->option[OUT];
    int ok = job->command == &csr ? write_csr(job) : write_certificate(job);

    if (!ok)
        return cli_fail("cannot make the %s", job->command == &csr
                                                  ? "certificate request"
                                                  : "certificate");
    if (!output_commit(&job->out, job->result, true))
        return cli_fail("cannot write %s", output_name(path));
    return CLI_OK;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    static int (*const steps[])(struct job *) = {
        check_options, check_san, open_out, load_key, choose_digest, make,
    };
    struct job job = { .command = command, .out = { .fd = -1 } };
    struct cli_values values;
    int status;
    size_t i;

    if (!cli_parse(command, argc, argv, &values, &status))
        return status;
    job.option = values.option;
    for (i = 0; i < COUNT(steps) && status == CLI_OK; i++)
        status = steps[i](&job);
    output_discard(&job.out);
    BIO_free(job.result);
    EVP_PKEY_free(job.key);
    X509_NAME_free(job.subject);
    provider_unload();
    return status;
}

int cmd_csr(int argc, char **argv)
{
    return run(&csr, argc, argv);
}

int cmd_selfsign(int argc, char **argv)
{
    return run(&selfsign, argc, argv);
}
