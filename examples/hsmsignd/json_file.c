/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "json_file.h"

#define SIZE_MAX_MIB 16

/* The parser's text without what it read, which may be a secret. */
static void say(const json_error_t *why, char *error, size_t size)
{
    const char *near = strstr(why->text, " near '");
    int len = near != NULL ? (int)(near - why->text) : (int)strlen(why->text);

    (void)snprintf(error, size, "%.*s, line %d", len, why->text, why->line);
}

json_t *json_file_load(const char *path, char *error, size_t size)
{
    /* Not blocking: a FIFO's writer may never come. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    json_t *json = NULL;
    json_error_t why;
    struct stat st;

    if (file == NULL || fstat(fd, &st) != 0)
        (void)snprintf(error, size, "%m");
    else if (!S_ISREG(st.st_mode))
        (void)snprintf(error, size, "it is no regular file");
    else if (st.st_size > (off_t)SIZE_MAX_MIB << 20)
        (void)snprintf(error, size, "it has more than %d MiB", SIZE_MAX_MIB);
    else if ((json = json_loadf(file, JSON_REJECT_DUPLICATES, &why)) == NULL)
        say(&why, error, size);
    if (file != NULL)
        (void)fclose(file);
    else if (fd >= 0)
        (void)close(fd);
    return json;
}
