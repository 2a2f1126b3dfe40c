/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes pkcs11/, and what of provider/ talks to a token, with one that answers
 * what the input says: hostile_token.h.  It is behind the function list of the
 * fake token's module (HSMSIGN_FAKE in the environment).  The input:
 *
 *     traits   1 byte: kind of key (2 bits), then a bit each: C_Login is
 *              wanted, CKA_ALWAYS_AUTHENTICATE, others called C_Initialize,
 *              and all that is done is done twice
 *     missing  1 byte: which function the module has not; 0: none
 *     number   1 byte (modulo 16), of the bytes that follow: what to do, a row
 *              of steps in the lower half, what with in the upper one
 *     answers  what is left
 *
 * Whatever comes, memory stays sound, what a successful step returns is there
 * and is no longer than its buffer, a failure has a reason in one line, there
 * is an end to the calls, one wrong PIN is one C_Login, and nothing is left
 * when the module is closed.
 */
#include <dlfcn.h>
#include <string.h>
#include "fake_token.h"
#include "fuzz.h"
#include "hostile_provider.h"
#include "hostile_token.h"
#include "pkcs11/generate.h"
#include "pkcs11/key.h"
#include "pkcs11/object.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/*
 * Enough for what may be done again and again until the deadline, each time
 * with all the slots and searches that a token may have.  A listing reads
 * all that it is told of, but ends where that fails.
 */
#define CALLS_MAX         20000
#define LISTING_CALLS_MAX 1000
#define END_CALLS         100
#define DEADLINE_MS       100

bool fuzz_accepted;

static struct fake *fake;
static struct p11_module_config config = { .max_sessions = 8,
                                           .max_idle = 2,
                                           .deadline = DEADLINE_MS };
static struct p11_pin_source pin;
static const struct p11_pin_request request = { .config = &pin };

/* What is under way. */
struct run {
    struct p11_module *module;
    struct p11_key *key; /* NULL: none is loaded */
    struct p11_error err;
    unsigned with; /* the step's argument, below 16 */
};

static void clean_up(void)
{
    p11_pin_source_clear(&pin);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct fake *(*get)(void) = NULL;
    void *dl, *symbol;

    (void)argc;
    (void)argv;
    config.path = getenv("HSMSIGN_FAKE");
    dl = config.path != NULL ? dlopen(config.path, RTLD_NOW) : NULL;
    symbol = dl != NULL ? dlsym(dl, "fake_get") : NULL;
    fuzz_check(symbol != NULL, "HSMSIGN_FAKE is not the fake token");
    memcpy(&get, &symbol, sizeof(get));
    fake = get();
    hostile_provider_init(config.path);
    fuzz_check(p11_pin_source_set(P11_PIN_LITERAL, "1234", "the PIN", &pin,
                                  NULL) == CKR_OK &&
                   atexit(clean_up) == 0,
               "no PIN");
    return 0;
}

/* ---- steps ---- */

static struct p11_uri *parse(unsigned which)
{
    static const char *const uris[] = {
        "pkcs11:token=" HOSTILE_TOKEN ";object=" HOSTILE_LABEL,
        "pkcs11:id=%01",
        "pkcs11:slot-description=slot;slot-manufacturer=maker;id=%01",
        "pkcs11:library-manufacturer=maker;library-version=2.1",
        "pkcs11:slot-id=7;serial=1",
        "pkcs11:object=other",
    };
    struct p11_uri *uri;

    fuzz_check(p11_uri_parse(uris[which % COUNT(uris)], &uri, NULL) == CKR_OK,
               "a URI");
    return uri;
}

static CK_RV load(struct run *run)
{
    struct p11_uri *uri = parse(run->with);
    struct p11_key *key = NULL;
    CK_RV rv = p11_key_load(run->module, uri, &request, &key, &run->err);

    fuzz_check((rv == CKR_OK) == (key != NULL), "a key, or none");
    if (rv == CKR_OK) {
        p11_key_free(run->key);
        run->key = key;
    }
    p11_uri_free(uri);
    return rv;
}

/* As large as signatures are; those of ML-DSA-44 are the largest here. */
static CK_RV sign(struct run *run)
{
    static const CK_MECHANISM_TYPE types[] = {
        CKM_RSA_PKCS, CKM_RSA_PKCS_PSS, CKM_ECDSA, CKM_EDDSA, CKM_ML_DSA,
    };
    static const size_t sizes[] = { 2420, 256, 64 };
    static const unsigned char digest[32] = { 1 };
    CK_RSA_PKCS_PSS_PARAMS pss = { CKM_SHA256, CKG_MGF1_SHA256, 32 };
    CK_MECHANISM mechanism = { types[run->with % COUNT(types)], NULL, 0 };
    size_t size = sizes[run->with % COUNT(sizes)], len = size;
    unsigned char *sig;
    CK_RV rv;

    if (run->key == NULL)
        return CKR_OK;
    if (mechanism.mechanism == CKM_RSA_PKCS_PSS) {
        mechanism.pParameter = &pss;
        mechanism.ulParameterLen = sizeof(pss);
    }
    sig = malloc(size);
    fuzz_check(sig != NULL, "no memory");
    memset(sig, 0xa5, size);
    rv = p11_key_sign(run->key, &mechanism, digest, sizeof(digest), sig, &len,
                      &run->err);
    fuzz_check(len <= size, "a signature longer than its buffer");
    for (size_t i = hostile_signed(); rv == CKR_OK && i < len; i++)
        fuzz_check(sig[i] == 0, "what was in the buffer is in a signature");
    free(sig);
    return rv;
}

static bool visit(void *arg, const struct p11_attrs *attrs)
{
    size_t *count = arg;

    fuzz_check(attrs->count > 0, "an object without attributes");
    return ++*count > 3;
}

static CK_RV find_public(struct run *run)
{
    size_t count = 0;

    if (run->key == NULL)
        return CKR_OK;
    return p11_key_find_public(run->key, (enum p11_public_by)(run->with % 3),
                               visit, &count, &run->err);
}

static CK_RV name(struct run *run)
{
    char text[64];

    if (run->key == NULL)
        return CKR_OK;
    p11_key_uri(run->key, text, sizeof(text));
    fuzz_check(strncmp(text, "pkcs11:", 7) == 0 && strlen(text) < sizeof(text),
               "no URI");
    (void)p11_key_type(run->key);
    (void)p11_key_may_sign(run->key);
    return CKR_OK;
}

/* Private keys are opened, the others read; not more than a few of them. */
static CK_RV use_objects(struct run *run, struct p11_objects *objects)
{
    CK_RV rv = CKR_OK;

    for (size_t i = 0; rv == CKR_OK && i < objects->count && i < 3; i++) {
        struct p11_key *key = NULL;

        if (objects->class != CKO_PRIVATE_KEY) {
            rv = p11_objects_read(objects, i, &run->err);
            continue;
        }
        rv = p11_key_open(objects->slot, objects->object[i].handle,
                          objects->epoch, &key, &run->err);
        fuzz_check((rv == CKR_OK) == (key != NULL), "a key, or none");
        p11_key_free(key);
    }
    return rv;
}

static CK_RV list(struct run *run)
{
    static const CK_OBJECT_CLASS classes[] = { CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
                                               CKO_CERTIFICATE };
    struct p11_uri *uri = parse(run->with / 3);
    struct p11_query query = { .class = classes[run->with % 3],
                               .uri = uri,
                               .login = (enum p11_login_when)(run->with % 3),
                               .max = run->with / 8 * 2,
                               .request = &request };
    struct p11_objects objects = { 0 };
    struct p11_slot *slots[4];
    size_t count = 0;
    CK_RV rv = p11_slots_find(run->module, uri, slots, COUNT(slots), &count,
                              &run->err);

    fuzz_check(rv != CKR_OK || (count > 0 && count <= COUNT(slots)),
               "tokens that are not there");
    if (rv == CKR_OK)
        rv = p11_objects_search(slots[0], &query, &objects, &run->err);
    fuzz_check(query.max == 0 || objects.count <= query.max,
               "more objects than were asked for");
    if (rv == CKR_OK)
        rv = use_objects(run, &objects);
    p11_objects_clear(&objects);
    p11_uri_free(uri);
    return rv;
}

static CK_RV generate(struct run *run)
{
    static const CK_KEY_TYPE types[] = { CKK_RSA, CKK_EC, CKK_EC_EDWARDS,
                                         CKK_ML_DSA };
    static const unsigned char ed25519[] = { 0x06, 0x03, 0x2b, 0x65, 0x70 };
    struct p11_uri *uri = parse(5);
    const struct p11_new_key new = {
        .name = "new",
        .type = types[run->with % COUNT(types)],
        .bits = 3072,
        .parameter_set = CKP_ML_DSA_44,
        .params = ed25519,
        .params_len = sizeof(ed25519),
        .label = uri->object,
    };
    CK_RV rv = p11_generate(run->module, uri, &request, &new, &run->err);

    p11_uri_free(uri);
    return rv;
}

/* As after a failure of the device. */
static CK_RV restart(struct run *run)
{
    const struct timespec until = { 0 };

    (void)p11_module_restart(run->module, p11_module_generation(run->module),
                             &until, &run->err);
    return CKR_OK;
}

/* Another user of the same module, which came later. */
static CK_RV open_again(struct run *run)
{
    struct p11_module *module = NULL;
    CK_RV rv = p11_module_open(&config, &module, &run->err);

    fuzz_check(rv != CKR_OK || module == run->module, "another module");
    p11_module_close(module);
    return rv;
}

/* The same and more, as a provider does it. */
static CK_RV provider_sign(struct run *run)
{
    struct p11_uri *uri = parse(run->with / 2);
    CK_RV rv =
        hostile_provider_sign(run->module, uri, &pin, run->with, &run->err);

    p11_uri_free(uri);
    return rv;
}

static CK_RV provider_list(struct run *run)
{
    struct p11_uri *uri = parse(run->with / 2);
    CK_RV rv;

    hostile_allow(LISTING_CALLS_MAX, END_CALLS);
    rv = hostile_provider_list(run->module, uri, &pin, run->with, &run->err);
    p11_uri_free(uri);
    return rv;
}

typedef CK_RV step(struct run *run);

static step *const steps[] = {
    load,     sign,    find_public, name,          list,
    generate, restart, open_again,  provider_sign, provider_list,
};

/* ---- one input ---- */

static void check_reason(const struct run *run, CK_RV rv, const char *missing)
{
    const char *text = run->err.text;

    if (run->err.rv != rv)
        (void)fprintf(stderr, "%s, and for a reason: %s\n",
                      p11_rv_info(rv)->name, run->err.text);
    fuzz_check(run->err.rv == rv, "a failure with another's reason");
    fuzz_check(text[0] != '\0', "a reason without words");
    for (; *text != '\0'; text++)
        fuzz_check((unsigned char)*text >= ' ' && *text != 0x7f,
                   "a reason that is not one line of text");
    if (missing != NULL && rv == CKR_FUNCTION_NOT_SUPPORTED)
        fuzz_check(strstr(run->err.text, missing) != NULL,
                   "a function that is missing is not named");
}

static void take_steps(struct run *run, const uint8_t *todo, size_t n,
                       const char *missing)
{
    for (size_t i = 0; i < n; i++) {
        CK_RV rv;

        run->with = todo[i] >> 4;
        memset(&run->err, 0, sizeof(run->err));
        hostile_allow(CALLS_MAX, 0);
        rv = steps[todo[i] % 16 % COUNT(steps)](run);
        if (rv != CKR_OK)
            check_reason(run, rv, missing);
        fuzz_accepted = fuzz_accepted && rv == CKR_OK;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hostile_traits traits;
    struct run run = { 0 };
    const char *missing;
    size_t n;
    CK_RV rv;

    fuzz_accepted = false;
    if (size < 3)
        return 0;
    n = data[2] % 16;
    if (size - 3 < n)
        n = size - 3;
    traits = (struct hostile_traits){
        .kind = data[0] % HOSTILE_KINDS,
        .login_required = (data[0] & 0x04) != 0,
        .always_authenticate = (data[0] & 0x08) != 0,
        .initialised = (data[0] & 0x10) != 0,
        .missing = data[1],
    };
    missing = hostile_begin(&fake->list, &traits, data + 3 + n, size - 3 - n);
    /* A liar may say that of any. */
    if (size > 3 + n)
        missing = NULL;
    hostile_allow(CALLS_MAX, 0);
    rv = p11_module_open(&config, &run.module, &run.err);
    fuzz_accepted = rv == CKR_OK;
    if (rv != CKR_OK)
        check_reason(&run, rv, missing);
    else
        take_steps(&run, data + 3, n, missing);
    if (rv == CKR_OK && (data[0] & 0x20) != 0)
        take_steps(&run, data + 3, n, missing);
    hostile_allow(CALLS_MAX, 0);
    p11_key_free(run.key);
    p11_module_close(run.module);
    fuzz_check(hostile_refused() <= 1, "a wrong PIN was sent twice");
    fake_calls_reset(fake);
    return 0;
}
