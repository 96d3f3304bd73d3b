/* Servers that are known by name: see known.h. Called by `run` and `check` before anything is started.
 *
 * Pure: the command's words are compared with a table, nothing is opened or looked up. To add a server: a row
 * here, its line in docs/SERVERS.md, and a row in tests/unit/conf/test_known.c. */

#include "conf/known.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/signals.h"

#define MARKS_MAX 3

struct known_server {
        const char *name; /* a name that ends in * stands for all that begin so: versions */
        /* ---- its end ---- */
        const char *stop_instead;     /* what to write in the command in place of a stop signal */
        const char *cures[MARKS_MAX]; /* parts of a word that do so */
        int stop_signal;              /* lets it finish its requests, as TERM does not; 0: TERM does */
        /* ---- the foreground, and the rest ---- */
        bool is_daemon; /* goes into the background by itself */
        bool owns_data;
        bool is_deaf;                  /* hands no signal on to the server below it */
        const char *foreground;        /* what to write */
        const char *stays[MARKS_MAX];  /* words, or parts of them, that keep it from the background */
        const char *leaves[MARKS_MAX]; /* words that send others there */
};

#define APACHE_FOREGROUND                                                                                    \
        .foreground = "-DFOREGROUND", .is_daemon = true, .stays = {"FOREGROUND", "-X", "NO_DETACH"}
#define FPM_FOREGROUND                                                                                       \
        .foreground = "-F", .is_daemon = true, .stays = {"-F", "--nodaemonize"},                             \
        .leaves = {"-D", "--daemonize"}
#define LEAVES_BY_D .foreground = "leave -D out", .leaves = {"-D", "--daemon", "--daemonize"}
#define REDIS       .owns_data = true, .foreground = "leave --daemonize out", .leaves = {"--daemonize yes"}

static const struct known_server servers[] = {
        {.name = "nginx",
                .stop_signal = SIGQUIT,
                .foreground = "-g 'daemon off;'",
                .is_daemon = true,
                .stays = {"daemon off"}},
        {.name = "openresty",
                .stop_signal = SIGQUIT,
                .foreground = "-g 'daemon off;'",
                .is_daemon = true,
                .stays = {"daemon off"}},
        {.name = "apache2", .stop_signal = SIGWINCH, APACHE_FOREGROUND},
        {.name = "httpd", .stop_signal = SIGWINCH, APACHE_FOREGROUND},
        {.name = "apache2ctl", .stop_signal = SIGWINCH, APACHE_FOREGROUND},
        {.name = "apachectl", .stop_signal = SIGWINCH, APACHE_FOREGROUND},
        {.name = "apache2-foreground", .stop_signal = SIGWINCH},
        {.name = "httpd-foreground", .stop_signal = SIGWINCH},
        {.name = "haproxy", .stop_signal = SIGUSR1, .foreground = "leave -D out", .leaves = {"-D"}},
        {.name = "lighttpd", .stop_signal = SIGINT, .foreground = "-D", .is_daemon = true, .stays = {"-D"}},
        {.name = "php-fpm*", .stop_signal = SIGQUIT, FPM_FOREGROUND},
        {.name = "unicorn", .stop_signal = SIGQUIT, LEAVES_BY_D},
        {.name = "unicorn_rails", .stop_signal = SIGQUIT, LEAVES_BY_D},
        {.name = "starman", .stop_signal = SIGQUIT, LEAVES_BY_D},
        {.name = "gunicorn", LEAVES_BY_D},
        {.name = "uwsgi",
                .stop_instead = "--hook-master-start 'unix_signal:15 gracefully_kill_them_all'",
                .cures = {"hook-master-start", "die-on-term"},
                .foreground = "leave --daemonize out",
                .leaves = {"-d", "--daemonize", "--daemonize2"}},
        {.name = "uwsgi-core",
                .stop_instead = "--hook-master-start 'unix_signal:15 gracefully_kill_them_all'",
                .cures = {"hook-master-start", "die-on-term"},
                .foreground = "leave --daemonize out",
                .leaves = {"-d", "--daemonize", "--daemonize2"}},
        {.name = "npm", .is_deaf = true},
        {.name = "npx", .is_deaf = true},
        {.name = "redis-server", REDIS},
        {.name = "valkey-server", REDIS},
        {.name = "keydb-server", REDIS},
        {.name = "memcached", .foreground = "leave -d out", .leaves = {"-d", "--daemon"}},
        {.name = "postgres", .owns_data = true},
        {.name = "postmaster", .owns_data = true},
        {.name = "mysqld",
                .owns_data = true,
                .foreground = "leave --daemonize out",
                .leaves = {"--daemonize", "-D"}},
        {.name = "mysqld_safe", .owns_data = true},
        {.name = "mariadbd", .owns_data = true},
        {.name = "mariadbd-safe", .owns_data = true},
        {.name = "mongod", .owns_data = true, .foreground = "leave --fork out", .leaves = {"--fork"}},
        {.name = "etcd", .owns_data = true},
        {.name = "cockroach",
                .owns_data = true,
                .foreground = "leave --background out",
                .leaves = {"--background"}},
        {.name = "clickhouse-server",
                .owns_data = true,
                .foreground = "leave --daemon out",
                .leaves = {"--daemon"}},
        {.name = "influxd", .owns_data = true},
        {.name = "prometheus", .owns_data = true},
        {.name = "slapd", .owns_data = true, .foreground = "-d 0", .is_daemon = true, .stays = {"-d"}},
};

/* ---- the command ---- */

static const char *program_name(const struct config *config) {
        const struct config_words *command = &config->service.command;
        const char *slash;

        if (command->count == 0)
                return "";
        slash = strrchr(command->at[0], '/');
        return slash ? slash + 1 : command->at[0];
}

static bool name_fits(const char *pattern, const char *name) {
        size_t length = strlen(pattern);

        if (pattern[length - 1] == '*')
                return strncmp(pattern, name, length - 1) == 0;
        return strcmp(pattern, name) == 0;
}

static const struct known_server *server_of(const struct config *config) {
        const char *name = program_name(config);

        for (size_t i = 0; i < sizeof servers / sizeof *servers; i++)
                if (name_fits(servers[i].name, name))
                        return &servers[i];
        return NULL;
}

/* An option stands alone, or with its value behind = or in the next word; what is no option may stand
 * anywhere in a word. The last word is followed by NULL. */
static bool word_has(char *const *word, const char *mark) {
        size_t length = strcspn(mark, " ");

        if (mark[0] != '-')
                return strstr(*word, mark) != NULL;
        if (strncmp(*word, mark, length) != 0)
                return false;
        if (mark[length])
                return !(*word)[length] && word[1] && strcmp(word[1], mark + length + 1) == 0;
        return (*word)[length] == '\0' || (*word)[length] == '=';
}

static bool command_has(const struct config *config, const char *const marks[static MARKS_MAX]) {
        const struct config_words *command = &config->service.command;

        for (size_t i = 1; i < command->count; i++)
                for (size_t k = 0; k < MARKS_MAX && marks[k]; k++)
                        if (word_has(&command->at[i], marks[k]))
                                return true;
        return false;
}

/* ---- what is said ---- */

struct advice {
        const struct config *config;
        const struct known_server *server;
        known_report *report;
        void *context;
};

static void advise_data(const struct advice *advice) {
        const struct config *config = advice->config;
        char text[KNOWN_TEXT_BYTES];

        if (!advice->server->owns_data || (config_surge_max(config) == 0 && config->service.adopt.count == 0))
                return;
        snprintf(text, sizeof text,
                "%s owns data, and its port is the lock of that: handed over, two of it write the same files "
                "at a time, and what was acknowledged is lost; use strategy = restart, without adopt",
                program_name(config));
        advice->report(advice->context, text);
}

static void advise_stop(const struct advice *advice) {
        const struct known_server *server = advice->server;
        char text[KNOWN_TEXT_BYTES], name[SIGNAL_NAME_BYTES];

        if (advice->config->service.stop_signal != SIGTERM)
                return;
        if (server->stop_signal)
                snprintf(text, sizeof text,
                        "%s cuts off the requests that it works at when it gets SIGTERM: write stop_signal = "
                        "%s",
                        program_name(advice->config), signal_name(server->stop_signal, name));
        else if (server->stop_instead && !command_has(advice->config, server->cures))
                snprintf(text, sizeof text,
                        "%s starts anew when it gets SIGTERM, and does not end: write %s in its command, "
                        "unless its own configuration has that",
                        program_name(advice->config), server->stop_instead);
        else
                return;
        advice->report(advice->context, text);
}

static void advise_foreground(const struct advice *advice) {
        const struct known_server *server = advice->server;
        char text[KNOWN_TEXT_BYTES];

        if (advice->config->service.exit_when == CONFIG_EXIT_ALL)
                return;
        if (server->is_daemon && !command_has(advice->config, server->stays))
                snprintf(text, sizeof text,
                        "%s goes into the background by itself: write %s in its command, unless its own "
                        "configuration keeps it in the foreground",
                        program_name(advice->config), server->foreground);
        else if (command_has(advice->config, server->leaves))
                snprintf(text, sizeof text, "this command of %s goes into the background: %s",
                        program_name(advice->config), server->foreground);
        else
                return;
        advice->report(advice->context, text);
}

static void advise_signals(const struct advice *advice) {
        const char *name = program_name(advice->config);
        char text[KNOWN_TEXT_BYTES];

        if (!advice->server->is_deaf || advice->config->service.kill_mode == CONFIG_KILL_GROUP)
                return;
        snprintf(text, sizeof text,
                "%s hands no signal on: the server below it is told to end when %s has, and has "
                "remaining_timeout for it in place of stop_timeout; name the server itself, such as node "
                "server.js",
                name, name);
        advice->report(advice->context, text);
}

const char *known_foreground(const struct config *config) {
        const struct known_server *server = server_of(config);

        return server ? server->foreground : NULL;
}

void known_advise_data(const struct config *config, known_report *report, void *context) {
        const struct advice advice = {config, server_of(config), report, context};

        if (advice.server)
                advise_data(&advice);
}

void known_advise(const struct config *config, known_report *report, void *context) {
        const struct advice advice = {config, server_of(config), report, context};

        if (!advice.server)
                return;
        advise_data(&advice);
        advise_stop(&advice);
        advise_foreground(&advice);
        advise_signals(&advice);
}
