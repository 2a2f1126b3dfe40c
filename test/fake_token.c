/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake token's function list, library and slots.  fake_token.h says what
 * the fake is.
 *
 * Every C_ function has the same shape: fake_enter, the rules of PKCS #11,
 * fake_leave.  Of the functions that hsmsign does not use none is implemented;
 * they answer CKR_FUNCTION_NOT_SUPPORTED and stand in the log under their own
 * names.
 */
#include <string.h>
#include "fake_internal.h"

static struct fake the_fake;

static const CK_FUNCTION_LIST pristine;

static void before_fork(void)
{
    pthread_mutex_lock(&the_fake.lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&the_fake.lock);
}

static void after_fork_in_child(void)
{
    fake_forked(&the_fake);
    pthread_mutex_unlock(&the_fake.lock);
}

static void init(void)
{
    the_fake.pristine = &pristine;
    if (pthread_mutex_init(&the_fake.lock, NULL) != 0 ||
        pthread_atfork(before_fork, after_fork_in_parent,
                       after_fork_in_child) != 0)
        fake_die("cannot initialise", "the fake");
    fake_reset(&the_fake);
}

__attribute__((visibility("default"))) struct fake *fake_get(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init);
    return &the_fake;
}

CK_FUNCTION_LIST *fake_function_list(void)
{
    return &fake_get()->list;
}

/* A field of CK_INFO and its kin: filled with blanks, no NUL (v2.40, 3.2). */
static void pad(CK_UTF8CHAR *field, size_t size, const char *text)
{
    size_t len = strlen(text);

    memset(field, ' ', size);
    memcpy(field, text, len < size ? len : size);
}

static struct fake_slot *find_slot(struct fake *fake, CK_SLOT_ID id)
{
    size_t i = 0;

    for (i = 0; i < fake->n_slots; i++) {
        if (fake->slots[i].id == id)
            return &fake->slots[i];
    }
    return NULL;
}

struct fake_slot *fake_token(struct fake *fake, CK_SLOT_ID id, CK_RV *rv)
{
    struct fake_slot *slot = find_slot(fake, id);

    *rv = CKR_OK;
    if (slot == NULL)
        *rv = CKR_SLOT_ID_INVALID;
    else if (!slot->token_present)
        *rv = CKR_TOKEN_NOT_PRESENT;
    return *rv == CKR_OK ? slot : NULL;
}

/* PKCS #11 v2.40, 5.4: all four mutex functions or none, and no pReserved. */
static CK_RV initialize(struct fake *fake, struct fake_call *call,
                        const CK_C_INITIALIZE_ARGS *args)
{
    const char *reserved = NULL;

    if (fake->initialized)
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    if (args != NULL) {
        int given = (args->CreateMutex != NULL) + (args->DestroyMutex != NULL) +
                    (args->LockMutex != NULL) + (args->UnlockMutex != NULL);

        if (given != 0 && given != 4)
            return CKR_ARGUMENTS_BAD;
        call->flags = args->flags;
        reserved = args->pReserved;
    }
    /* pReserved is how NSS takes its parameters; the test may look at it. */
    if (reserved != NULL && strlen(reserved) >= sizeof(fake->init_args))
        return CKR_ARGUMENTS_BAD;
    memset(fake->init_args, 0, sizeof(fake->init_args));
    if (reserved != NULL)
        memcpy(fake->init_args, reserved, strlen(reserved));
    fake->initialized = true;
    return CKR_OK;
}

static CK_RV fake_C_Initialize(void *args)
{
    struct fake_call call = { .function = "C_Initialize" };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);

    if (rv == CKR_OK)
        rv = initialize(fake, &call, args);
    return fake_leave(fake, &call, rv);
}

static CK_RV fake_C_Finalize(void *reserved)
{
    struct fake_call call = { .function = "C_Finalize" };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);

    if (fake->active > 1)
        fake->violations++;
    if (rv == CKR_OK && reserved != NULL)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK) {
        fake_forget(fake);
        fake->initialized = fake->dead = false;
    }
    return fake_leave(fake, &call, rv);
}

static CK_RV fake_C_GetInfo(CK_INFO *info)
{
    struct fake_call call = { .function = "C_GetInfo" };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);

    if (rv == CKR_OK && info == NULL)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK) {
        *info = (CK_INFO){ .cryptokiVersion = fake->pristine->version,
                           .libraryVersion = fake->library_version };
        pad(info->manufacturerID, sizeof(info->manufacturerID),
            fake->manufacturer);
        pad(info->libraryDescription, sizeof(info->libraryDescription),
            fake->description);
    }
    return fake_leave(fake, &call, rv);
}

CK_RV fake_C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    struct fake_call call = { .function = "C_GetFunctionList" };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);

    if (rv == CKR_OK && list == NULL)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        *list = &fake->list;
    return fake_leave(fake, &call, rv);
}

/* The convention of v2.40, 5.2 for lists: NULL asks for the number alone. */
static CK_RV give_list(const CK_ULONG *from, CK_ULONG n, CK_ULONG *to,
                       CK_ULONG *count)
{
    CK_ULONG room = *count;

    *count = n;
    if (to == NULL)
        return CKR_OK;
    if (room < n)
        return CKR_BUFFER_TOO_SMALL;
    memcpy(to, from, n * sizeof(*to));
    return CKR_OK;
}

static CK_RV fake_C_GetSlotList(CK_BBOOL present, CK_SLOT_ID *list,
                                CK_ULONG *count)
{
    struct fake_call call = { .function = "C_GetSlotList" };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    CK_SLOT_ID ids[FAKE_MAX_SLOTS];
    size_t n = 0;
    size_t i = 0;

    if (rv == CKR_OK && count == NULL)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK) {
        for (i = 0; i < fake->n_slots; i++) {
            if (!present || fake->slots[i].token_present)
                ids[n++] = fake->slots[i].id;
        }
        rv = give_list(ids, n, list, count);
    }
    return fake_leave(fake, &call, rv);
}

static CK_RV fake_C_GetSlotInfo(CK_SLOT_ID id, CK_SLOT_INFO *info)
{
    struct fake_call call = { .function = "C_GetSlotInfo", .slot = id };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    const struct fake_slot *slot = find_slot(fake, id);

    if (rv == CKR_OK && (slot == NULL || info == NULL))
        rv = slot == NULL ? CKR_SLOT_ID_INVALID : CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK) {
        *info = (CK_SLOT_INFO){ .flags = CKF_HW_SLOT };
        if (slot->token_present)
            info->flags |= CKF_TOKEN_PRESENT;
        pad(info->slotDescription, sizeof(info->slotDescription),
            slot->description);
        pad(info->manufacturerID, sizeof(info->manufacturerID),
            slot->slot_manufacturer);
    }
    return fake_leave(fake, &call, rv);
}

/* The flags that tell of wrong PINs (v2.40, 3.2). */
static CK_FLAGS pin_flags(const struct fake *fake, const struct fake_slot *slot)
{
    CK_FLAGS flags = 0;

    if (fake->profile->fixed_flags || slot->pin_tries == 0)
        return 0;
    if (slot->bad_pins > 0)
        flags |= CKF_USER_PIN_COUNT_LOW;
    if (slot->bad_pins + 1 == slot->pin_tries)
        flags |= CKF_USER_PIN_FINAL_TRY;
    if (slot->bad_pins >= slot->pin_tries)
        flags |= CKF_USER_PIN_LOCKED;
    return flags;
}

static CK_RV fake_C_GetTokenInfo(CK_SLOT_ID id, CK_TOKEN_INFO *info)
{
    struct fake_call call = { .function = "C_GetTokenInfo", .slot = id };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    const struct fake_slot *slot = NULL;

    if (rv == CKR_OK)
        slot = fake_token(fake, id, &rv);
    if (rv == CKR_OK && info == NULL)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK) {
        *info = (CK_TOKEN_INFO){
            .flags = slot->flags | pin_flags(fake, slot),
            .ulMaxSessionCount = fake->max_sessions,
            .ulSessionCount = CK_UNAVAILABLE_INFORMATION,
            .ulMaxRwSessionCount = fake->max_sessions,
            .ulRwSessionCount = CK_UNAVAILABLE_INFORMATION,
            .ulMaxPinLen = sizeof(slot->pin) - 1,
            .ulTotalPublicMemory = CK_UNAVAILABLE_INFORMATION,
            .ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION,
            .ulTotalPrivateMemory = CK_UNAVAILABLE_INFORMATION,
            .ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION,
        };
        pad(info->label, sizeof(info->label), slot->label);
        pad(info->manufacturerID, sizeof(info->manufacturerID),
            slot->manufacturer);
        pad(info->model, sizeof(info->model), slot->model);
        pad(info->serialNumber, sizeof(info->serialNumber), slot->serial);
        pad(info->utcTime, sizeof(info->utcTime), "");
    }
    return fake_leave(fake, &call, rv);
}

static CK_RV fake_C_GetMechanismList(CK_SLOT_ID id, CK_MECHANISM_TYPE *list,
                                     CK_ULONG *count)
{
    struct fake_call call = { .function = "C_GetMechanismList", .slot = id };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);

    if (rv == CKR_OK)
        fake_token(fake, id, &rv);
    if (rv == CKR_OK && count == NULL)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        rv = give_list(fake->mechanisms, fake->n_mechanisms, list, count);
    return fake_leave(fake, &call, rv);
}

static CK_RV fake_C_GetMechanismInfo(CK_SLOT_ID id, CK_MECHANISM_TYPE type,
                                     CK_MECHANISM_INFO *info)
{
    struct fake_call call = { .function = "C_GetMechanismInfo",
                              .slot = id,
                              .mechanism = type };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);
    size_t i = 0;

    if (rv == CKR_OK)
        fake_token(fake, id, &rv);
    while (i < fake->n_mechanisms && fake->mechanisms[i] != type)
        i++;
    if (rv == CKR_OK && i == fake->n_mechanisms)
        rv = CKR_MECHANISM_INVALID;
    if (rv == CKR_OK && info == NULL)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        *info = (CK_MECHANISM_INFO){ .flags = CKF_HW | CKF_SIGN };
    return fake_leave(fake, &call, rv);
}

static CK_RV absent(const char *function)
{
    struct fake_call call = { .function = function };
    struct fake *fake = fake_get();
    CK_RV rv = fake_enter(fake, &call);

    if (rv == CKR_OK)
        rv = CKR_FUNCTION_NOT_SUPPORTED;
    return fake_leave(fake, &call, rv);
}

/* The lists share their parameters' names with the shim, which uses them. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define OTHER(name, first, params, args)                                       \
    static CK_RV fake_##name params                                            \
    {                                                                          \
        return absent(#name);                                                  \
    }
#include "cryptoki_functions.h"
#pragma GCC diagnostic pop

#define MODELLED(name)                   .name = fake_##name,
#define OTHER(name, first, params, args) .name = fake_##name,
static const CK_FUNCTION_LIST pristine = {
    .version = { 2, 40 },
#include "cryptoki_functions.h"
};
