/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done around every call: count it, sleep, let a rule answer in the
 * module's place, and write its line to the log.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "shim.h"

#define MODELLED(name)                   #name,
#define OTHER(name, first, params, args) #name,
const char *const shim_names[SHIM_FUNCTIONS] = {
#include "../cryptoki_functions.h"
};

const char front_name[] = "shim";
struct shim_config shim_config;

static atomic_ulong calls[SHIM_FUNCTIONS];

/* What needs no round trip; a token's driver answers these by itself. */
static bool is_local(enum shim_function function)
{
    return function == SHIM_C_GetInfo || function == SHIM_C_GetSlotList ||
           function == SHIM_C_GetMechanismList ||
           function == SHIM_C_GetMechanismInfo ||
           function == SHIM_C_GetFunctionList;
}

CK_RV shim_call_begin(struct shim_call *call, enum shim_function function)
{
    unsigned long n = atomic_fetch_add(&calls[function], 1) + 1;
    size_t i = 0;

    call->function = function;
    call->len = 0;
    call->notes[0] = '\0';
    if (shim_config.delay_us != 0 && !is_local(function))
        front_sleep_us(shim_config.delay_us);
    for (i = 0; i < shim_config.n_rules; i++) {
        const struct shim_rule *rule = &shim_config.rules[i];

        if (rule->function == function && n >= rule->first &&
            (rule->count == 0 || n - rule->first < rule->count))
            return rule->rv;
    }
    return CKR_OK;
}

void shim_call_note(struct shim_call *call, const char *format, ...)
{
    static const char cut[] = "...";
    size_t room = sizeof(call->notes) - call->len;
    va_list args;
    int n = 0;

    if (shim_config.log < 0 || room == 0)
        return;
    va_start(args, format);
    n = vsnprintf(call->notes + call->len, room, format, args);
    va_end(args);
    if (n < 0)
        front_die("cannot format a log line");
    if ((size_t)n < room) {
        call->len += (size_t)n;
    } else {
        memcpy(call->notes + sizeof(call->notes) - sizeof(cut), cut,
               sizeof(cut));
        call->len = sizeof(call->notes);
    }
}

CK_RV shim_call_end(const struct shim_call *call, CK_RV rv)
{
    char line[sizeof(call->notes) + 128];
    ssize_t written = 0;
    int n = 0;

    if (shim_config.log < 0)
        return rv;
    n = snprintf(line, sizeof(line), "%s 0x%lx%s\n", shim_names[call->function],
                 rv, call->notes);
    do
        written = write(shim_config.log, line, (size_t)n);
    while (written < 0 && errno == EINTR);
    if (written != n)
        front_die("cannot write to the log (errno %d)", errno);
    return rv;
}
