/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <jansson.h>
#include "log.h"
#include "pkcs11/log.h"

static json_t *begin(enum log_level level, const char *event)
{
    static const char *const levels[] = { "info", "warning", "error" };
    char now[P11_LOG_TIME];

    p11_log_time(now);
    return json_pack("{s:s, s:s, s:s}", "time", now, "level", levels[level],
                     "event", event);
}

void log_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~')
            *text = '?';
    }
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    json_t *line = begin(level, event), *more = NULL;
    char *text = NULL;
    va_list args;

    va_start(args, format);
    more = json_vpack_ex(NULL, 0, format, args);
    va_end(args);
    /* Text that is no UTF-8 leaves the rest of the line. */
    if (line != NULL && (more == NULL || json_object_update(line, more) == 0))
        text = json_dumps(line, JSON_COMPACT);
    if (text != NULL) {
        size_t len = strlen(text);

        text[len] = '\n'; /* the length is known */
        (void)p11_log_write(STDERR_FILENO, text, len + 1);
    }
    free(text);
    json_decref(more);
    json_decref(line);
}
