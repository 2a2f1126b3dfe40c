/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots, one for each token behind that is initialised, in the order of their
 * labels; and the login, which is the slot's, not a session's.  A session of
 * our own keeps the module behind logged in when the application closes its
 * last one.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include "sim.h"

enum { MAX_SLOTS = 16 };

struct slot {
    CK_SLOT_ID behind;
    CK_UTF8CHAR label[32];
    _Atomic bool logged_in;
    unsigned long wrong_pins;
    CK_SESSION_HANDLE keeper; /* logged in behind, or CK_INVALID_HANDLE */
    uint64_t pin;             /* a hash of what logged in there */
};

static struct slot slots[MAX_SLOTS];
static size_t slot_count;
static _Atomic unsigned long logins; /* that are under way */
/* Held over C_Login and C_Logout behind. */
static pthread_mutex_t login_lock = PTHREAD_MUTEX_INITIALIZER;

static struct slot *find(CK_SLOT_ID id)
{
    if (id < sim_config.first_slot || id - sim_config.first_slot >= slot_count)
        return NULL;
    return &slots[id - sim_config.first_slot];
}

static void insert(const struct slot *slot)
{
    size_t at = slot_count++;

    for (; at > 0 &&
           memcmp(slots[at - 1].label, slot->label, sizeof(slot->label)) > 0;
         at--)
        slots[at] = slots[at - 1];
    slots[at] = *slot;
}

CK_RV sim_slots_start(void)
{
    CK_SLOT_ID ids[MAX_SLOTS];
    CK_ULONG n = MAX_SLOTS;
    CK_RV rv = sim_behind->C_GetSlotList(CK_TRUE, ids, &n);

    slot_count = 0;
    for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++) {
        struct slot slot = { .behind = ids[i] };
        CK_TOKEN_INFO info;

        rv = sim_behind->C_GetTokenInfo(ids[i], &info);
        if (rv != CKR_OK || (info.flags & CKF_TOKEN_INITIALIZED) == 0)
            continue;
        memcpy(slot.label, info.label, sizeof(slot.label));
        insert(&slot);
    }
    return rv;
}

void sim_slots_forget(void)
{
    slot_count = 0;
    front_sessions_closed(NULL);
}

void sim_slots_lose_login(void)
{
    for (size_t i = 0; i < slot_count; i++)
        slots[i].logged_in = false;
}

bool sim_logged_in(CK_SLOT_ID id)
{
    const struct slot *slot = find(id);

    return slot != NULL && slot->logged_in;
}

CK_RV sim_slot_behind(CK_SLOT_ID id, CK_SLOT_ID *behind)
{
    const struct slot *slot = find(id);

    if (slot == NULL)
        return CKR_SLOT_ID_INVALID;
    *behind = slot->behind;
    return CKR_OK;
}

CK_RV sim_C_GetSlotList(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count)
{
    CK_ULONG room = 0;

    (void)present;
    if (count == NULL)
        return CKR_ARGUMENTS_BAD;
    room = *count;
    *count = slot_count;
    if (list == NULL)
        return CKR_OK;
    if (room < slot_count)
        return CKR_BUFFER_TOO_SMALL;
    for (size_t i = 0; i < slot_count; i++)
        list[i] = sim_config.first_slot + i;
    return CKR_OK;
}

CK_RV sim_C_GetTokenInfo(CK_SLOT_ID id, CK_TOKEN_INFO *info)
{
    CK_SLOT_ID behind = 0;
    CK_RV rv = sim_slot_behind(id, &behind);

    if (rv == CKR_OK)
        rv = sim_behind->C_GetTokenInfo(behind, info);
    if (rv == CKR_OK)
        info->flags = sim_config.token_flags;
    return rv;
}

CK_RV sim_C_OpenSession(CK_SLOT_ID id, CK_FLAGS flags, void *application,
                        CK_NOTIFY notify, CK_SESSION_HANDLE *session)
{
    CK_SLOT_ID behind = 0;
    CK_RV rv = sim_slot_behind(id, &behind);

    if (rv == CKR_OK && (notify != NULL || application != NULL))
        rv = sim_config.notify;
    if (rv == CKR_OK && (flags & CKF_RW_SESSION) == 0)
        rv = sim_config.read_only;
    if (rv != CKR_OK)
        return rv;
    if (!front_session_reserve(id, 0, sim_config.max_sessions))
        return sim_config.session_count;
    rv = sim_behind->C_OpenSession(behind, flags, application, notify, session);
    if (rv == CKR_OK)
        front_session_opened(id, *session);
    else
        front_session_unreserve(id);
    return rv;
}

CK_RV sim_C_CloseSession(CK_SESSION_HANDLE session)
{
    CK_RV rv = sim_behind->C_CloseSession(session);

    front_session_closed(session);
    return rv;
}

CK_RV sim_C_CloseAllSessions(CK_SLOT_ID id)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    if (find(id) == NULL)
        return CKR_SLOT_ID_INVALID;
    while ((session = front_session_of(id)) != CK_INVALID_HANDLE)
        (void)sim_C_CloseSession(session);
    return CKR_OK;
}

CK_RV sim_C_GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
    CK_RV rv = sim_behind->C_GetSessionInfo(session, info);

    if (rv != CKR_OK)
        return rv;
    info->slotID = front_session(session)->slot;
    if (!sim_logged_in(info->slotID))
        info->state = (info->flags & CKF_RW_SESSION) != 0
                          ? CKS_RW_PUBLIC_SESSION
                          : CKS_RO_PUBLIC_SESSION;
    return CKR_OK;
}

/* FNV-1a: to know a PIN again without keeping it. */
static uint64_t hash(const CK_BYTE *data, CK_ULONG len)
{
    uint64_t h = 0xcbf29ce484222325U;

    for (CK_ULONG i = 0; i < len; i++)
        h = (h ^ data[i]) * 0x100000001b3U;
    return h;
}

/* C_Login behind, unless that is logged in already: after a loss. */
static CK_RV check_pin(struct slot *slot, CK_BYTE *pin, CK_ULONG pinlen)
{
    const CK_FLAGS flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
    CK_RV rv = CKR_OK;

    if (slot->keeper != CK_INVALID_HANDLE)
        return slot->pin == hash(pin, pinlen) ? CKR_OK : CKR_PIN_INCORRECT;
    rv = sim_behind->C_OpenSession(slot->behind, flags, NULL, NULL,
                                   &slot->keeper);
    if (rv == CKR_OK)
        rv = sim_behind->C_Login(slot->keeper, CKU_USER, pin, pinlen);
    if (rv != CKR_OK && slot->keeper != CK_INVALID_HANDLE) {
        (void)sim_behind->C_CloseSession(slot->keeper);
        slot->keeper = CK_INVALID_HANDLE;
    }
    slot->pin = hash(pin, pinlen);
    return rv;
}

static CK_RV log_in(struct slot *slot, CK_BYTE *pin, CK_ULONG pinlen)
{
    CK_RV rv = CKR_OK;

    if (slot->logged_in)
        return CKR_USER_ALREADY_LOGGED_IN;
    if (pin == NULL)
        return CKR_ARGUMENTS_BAD;
    if (memchr(pin, ':', pinlen) == NULL &&
        sim_config.pin_without_user != CKR_OK &&
        sim_config.pin_without_user != CKR_PIN_INCORRECT)
        return sim_config.pin_without_user;
    if (slot->wrong_pins >= sim_config.pin_tries)
        return sim_config.locked;
    rv = check_pin(slot, pin, pinlen);
    if (rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LEN_RANGE ||
        rv == CKR_ARGUMENTS_BAD) {
        slot->wrong_pins++;
        return sim_config.wrong_pin;
    }
    if (rv == CKR_OK) {
        slot->wrong_pins = 0;
        slot->logged_in = true;
    }
    return rv;
}

CK_RV sim_C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE *pin,
                  CK_ULONG pinlen)
{
    struct slot *slot = find(front_session(session)->slot);
    CK_RV rv = CKR_OK;

    if (user != CKU_USER)
        return CKR_USER_TYPE_INVALID;
    front_sleep_us(++logins * sim_config.login_us);
    rv = sim_trip(1);
    logins--;
    if (rv != CKR_OK)
        return rv;
    pthread_mutex_lock(&login_lock);
    rv = log_in(slot, pin, pinlen);
    pthread_mutex_unlock(&login_lock);
    return rv;
}

CK_RV sim_C_Logout(CK_SESSION_HANDLE session)
{
    struct slot *slot = find(front_session(session)->slot);
    CK_RV rv = CKR_USER_NOT_LOGGED_IN;

    pthread_mutex_lock(&login_lock);
    if (slot->logged_in) {
        slot->logged_in = false;
        rv = sim_behind->C_Logout(slot->keeper);
        (void)sim_behind->C_CloseSession(slot->keeper);
        slot->keeper = CK_INVALID_HANDLE;
    }
    pthread_mutex_unlock(&login_lock);
    return rv;
}
