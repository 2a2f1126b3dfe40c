/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes provider/decoder through libcrypto: the input is a key file, read as
 * PEM and as whatever it is, and where it begins like DER also as what a PEM
 * block of ours holds.  The provider is linked in; its module is the fake
 * token (HSMSIGN_FAKE in the environment), with keys that need no login on one
 * token, and another that wants a PIN which nobody gives.
 *
 * A key of ours comes out only of a file that holds a wrapped URI by another
 * parser's account (libcrypto's ASN.1 templates); what is refused leaves at
 * most one error of ours; nothing is asked of the token that it must not tell.
 */
#include <dlfcn.h>
#include <openssl/asn1t.h>
#include <openssl/conf.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <string.h>
#include "fake_token.h"
#include "fuzz.h"
#include "hsmsign.h"
#include "pkcs11/uri.h"

#define LABEL   "PKCS#11 PROVIDER URI"
#define VERSION "PKCS#11 Provider URI v1.0"

typedef struct {
    ASN1_VISIBLESTRING *version;
    ASN1_UTF8STRING *uri;
} WRAPPED_URI;

ASN1_SEQUENCE(WRAPPED_URI) = {
    ASN1_SIMPLE(WRAPPED_URI, version, ASN1_VISIBLESTRING),
    ASN1_SIMPLE(WRAPPED_URI, uri, ASN1_UTF8STRING),
} static_ASN1_SEQUENCE_END(WRAPPED_URI)

bool fuzz_accepted;

static OSSL_LIB_CTX *ctx;
static struct fake *fake;
/* Made once, which takes longer than all the rest; what it makes goes here. */
static OSSL_DECODER_CTX *decoder;
static EVP_PKEY *decoded;

static void clean_up(void)
{
    OSSL_DECODER_CTX_free(decoder);
    OSSL_LIB_CTX_free(ctx);
}

/* Options come from a configuration only; see examples/embed.c. */
static void configure(const char *module)
{
    BIO *text = BIO_new(BIO_s_mem());
    CONF *conf = NULL;

    ctx = OSSL_LIB_CTX_new();
    conf = NCONF_new_ex(ctx, NULL);
    OPENSSL_load_builtin_modules();
    fuzz_check(
        OSSL_PROVIDER_add_builtin(ctx, "hsmsign", hsmsign_provider_init) &&
            BIO_printf(text,
                       "openssl_conf = init\n"
                       "[init]\nproviders = providers\n"
                       "[providers]\ndefault = default_section\n"
                       "hsmsign = our_section\n"
                       "[default_section]\nactivate = 1\n"
                       "[our_section]\nactivate = 1\n"
                       "pkcs11-module-path = '%s'\n",
                       module) > 0 &&
            NCONF_load_bio(conf, text, NULL) > 0 &&
            CONF_modules_load(conf, NULL, 0) > 0 &&
            OSSL_PROVIDER_available(ctx, "hsmsign"),
        "the provider cannot be activated");
    NCONF_free(conf);
    BIO_free(text);
}

static struct fake *load_fake(const char *module)
{
    struct fake *(*get)(void) = NULL;
    void *dl = dlopen(module, RTLD_NOW);
    void *symbol = dl != NULL ? dlsym(dl, "fake_get") : NULL;

    fuzz_check(symbol != NULL, "HSMSIGN_FAKE is not the fake token");
    memcpy(&get, &symbol, sizeof(get));
    return get();
}

/* Public values that libcrypto takes: a modulus, and base points. */
static void add_keys(void)
{
    static const unsigned char p256_point[] =
        "\x04\x41\x04"
        "\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2"
        "\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96"
        "\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16"
        "\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";
    static unsigned char modulus[256], ed25519_point[2 + 32];
    const struct fake_key rsa = { .type = CKK_RSA,
                                  .label = "rsa",
                                  .id = { "\x01", 1 },
                                  .modulus = { modulus, sizeof(modulus) },
                                  .exponent = { "\x01\x00\x01", 3 } };
    const struct fake_key p256 = {
        .type = CKK_EC,
        .label = "p256",
        .id = { "\x02", 1 },
        .ec_params = { "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10 },
        .ec_point = { p256_point, sizeof(p256_point) - 1 }
    };
    const struct fake_key ed25519 = {
        .type = CKK_EC_EDWARDS,
        .label = "ed25519",
        .id = { "\x03", 1 },
        .ec_params = { "\x06\x03\x2b\x65\x70", 5 },
        .ec_point = { ed25519_point, sizeof(ed25519_point) }
    };

    memset(modulus, 0xff, sizeof(modulus));
    memset(ed25519_point, 0x66, sizeof(ed25519_point));
    ed25519_point[0] = 0x04;
    ed25519_point[1] = sizeof(ed25519_point) - 2;
    ed25519_point[2] = 0x58;
    fake_add_key(fake, 0, &rsa);
    fake_add_key(fake, 0, &p256);
    fake_add_key(fake, 0, &ed25519);
    fake_add_key(fake, 1, &p256);
}

/* Nobody is there to answer. */
static int no_answer(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

/*
 * No input changes what the token is for the next one: nobody logs in to
 * "fake", and nobody can log in to "asks".
 */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char *const not_ours[] = { "HSM_MODULE", "HSM_PIN",
                                            "HSM_PIN_FILE", "HSMSIGN_LOG" };
    const char *module = getenv("HSMSIGN_FAKE");

    (void)argc;
    (void)argv;
    fuzz_check(module != NULL, "the environment lacks HSMSIGN_FAKE");
    for (size_t i = 0; i < sizeof(not_ours) / sizeof(not_ours[0]); i++)
        unsetenv(not_ours[i]);
    setenv("OPENSSL_CONF", "/dev/null", 1);
    fake = load_fake(module);
    fake_reset(fake);
    fake->slots[0].flags &= ~(CK_FLAGS)CKF_LOGIN_REQUIRED;
    fake_add_slot(fake, "asks", "2")->flags |=
        CKF_LOGIN_REQUIRED | CKF_USER_PIN_LOCKED;
    add_keys();
    configure(module);
    decoder = OSSL_DECODER_CTX_new_for_pkey(&decoded, NULL, NULL, NULL,
                                            EVP_PKEY_KEYPAIR, ctx, NULL);
    fuzz_check(
        decoder != NULL &&
            OSSL_DECODER_CTX_set_pem_password_cb(decoder, no_answer, NULL) &&
            atexit(clean_up) == 0,
        "no decoder");
    return 0;
}
/* Whether DER is a wrapped URI, and nothing else. */
static bool is_wrapped(const unsigned char *der, long len)
{
    const unsigned char *p = der;
    ASN1_VALUE *value =
        ASN1_item_d2i(NULL, &p, len, ASN1_ITEM_rptr(WRAPPED_URI));
    const WRAPPED_URI *wrapped = (const WRAPPED_URI *)value;
    bool ok = false;
    struct p11_uri *uri = NULL;
    char *text = NULL;

    if (wrapped != NULL && p == der + len &&
        ASN1_STRING_length(wrapped->version) == (int)strlen(VERSION) &&
        memcmp(ASN1_STRING_get0_data(wrapped->version), VERSION,
               strlen(VERSION)) == 0)
        text =
            OPENSSL_strndup((const char *)ASN1_STRING_get0_data(wrapped->uri),
                            (size_t)ASN1_STRING_length(wrapped->uri));
    if (text != NULL &&
        strlen(text) == (size_t)ASN1_STRING_length(wrapped->uri))
        ok = p11_uri_parse(text, &uri, NULL) == CKR_OK;
    p11_uri_free(uri);
    OPENSSL_free(text);
    ASN1_item_free(value, ASN1_ITEM_rptr(WRAPPED_URI));
    return ok;
}

/*
 * Whether a file is, or one of its PEM blocks holds, a wrapped URI.  libcrypto
 * goes on behind a block that it cannot read.
 */
static bool holds_wrapped(const uint8_t *data, size_t size)
{
    BIO *bio = BIO_new_mem_buf(data, (int)size);
    char *name, *header;
    unsigned char *der;
    bool found = is_wrapped(data, (long)size);
    long len;

    fuzz_check(bio != NULL, "no memory");
    while (!found && BIO_pending(bio) > 0) {
        if (!PEM_read_bio(bio, &name, &header, &der, &len))
            continue;
        found = strcmp(name, LABEL) == 0 && is_wrapped(der, len);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(der);
    }
    BIO_free(bio);
    ERR_clear_error();
    return found;
}

static EVP_PKEY *read_pem(BIO *bio)
{
    return PEM_read_bio_PrivateKey_ex(bio, NULL, no_answer, NULL, ctx, NULL);
}

static EVP_PKEY *read_any(BIO *bio)
{
    decoded = NULL;
    (void)OSSL_DECODER_from_bio(decoder, bio);
    return decoded;
}

static size_t take_our_errors(void)
{
    unsigned long code;
    const char *library;
    size_t count = 0;

    while ((code = ERR_get_error()) != 0) {
        library = ERR_lib_error_string(code);
        if (library != NULL && strcmp(library, "hsmsign") == 0)
            count++;
    }
    return count;
}

static void try_reader(EVP_PKEY *(*reader)(BIO *bio), const uint8_t *data,
                       size_t size, bool wrapped)
{
    BIO *bio = BIO_new_mem_buf(data, (int)size);
    EVP_PKEY *key = NULL;
    bool ours;
    size_t errors;

    fuzz_check(bio != NULL, "no memory");
    key = reader(bio);
    ours = key != NULL &&
           strcmp(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)),
                  "hsmsign") == 0;
    errors = take_our_errors();
    fuzz_accepted |= ours;
    fuzz_check(wrapped || !ours, "a key for what is not a wrapped URI");
    fuzz_check(errors <= 1, "several errors of ours");
    fuzz_check(!ours || errors == 0, "a key and an error");
    fuzz_check(!ours || EVP_PKEY_get_size(key) > 0, "a key without a size");
    EVP_PKEY_free(key);
    BIO_free(bio);
}

/* The input as the DER in a PEM block, which no mutation would hit on. */
static void try_inside(const uint8_t *data, size_t size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long len;

    fuzz_check(bio != NULL &&
                   PEM_write_bio(bio, LABEL, "", data, (long)size) > 0,
               "no memory");
    len = BIO_get_mem_data(bio, &text);
    try_reader(read_any, (uint8_t *)text, (size_t)len,
               is_wrapped(data, (long)size));
    BIO_free(bio);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool wrapped;

    fuzz_accepted = false;
    if (size == 0)
        return 0;
    wrapped = holds_wrapped(data, size);
    try_reader(read_any, data, size, wrapped);
    if (memmem(data, size, "-----BEGIN", strlen("-----BEGIN")) != NULL)
        try_reader(read_pem, data, size, wrapped);
    if (data[0] == (V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED))
        try_inside(data, size);
    fuzz_check(fake_asked_private(fake) == 0, "a private component was asked");
    fuzz_check(fake_violations(fake) == 0, "a rule of PKCS #11 was broken");
    fuzz_check(fake_count(fake, "C_Login") == 0, "a login without a PIN");
    fake_calls_reset(fake);
    return 0;
}
