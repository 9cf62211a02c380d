#!/bin/bash
# DevStack's plugin: a daemon beside this cloud's Keystone, and its drivers in Keystone. DevStack
# sources it with a mode and a phase; all runs as DevStack's user, Keystone and the daemon too.
#
#   enable_plugin alliance https://github.com/alliance-openstack/alliance

# Keystone's drivers that are the plugin's, but for the token provider.
ALLIANCE_DRIVERS="catalog revoke assignment application_credential credential trust oauth1 federation"

function install_alliance {
    local program=$ALLIANCE_BIN
    if [[ -z "$program" ]]; then
        command -v cargo > /dev/null || die $LINENO "alliance: cargo is not there; install Rust by rustup, or set ALLIANCE_BIN"
        (cd "$ALLIANCE_DIR" && cargo build --release --locked --package alliance)
        program=$ALLIANCE_DIR/target/release/alliance
    fi
    sudo install -m 0755 "$program" "$ALLIANCE_PROGRAM"
    # What it needs comes with Keystone.
    pip_install --no-deps "$ALLIANCE_DIR/keystone-plugin"
}

function create_alliance_account {
    get_or_create_user alliance "$SERVICE_PASSWORD" "$SERVICE_DOMAIN_NAME"
    openstack role show service > /dev/null 2>&1 || openstack role create service
    openstack role add --user alliance --user-domain "$SERVICE_DOMAIN_NAME" \
        --project "$SERVICE_PROJECT_NAME" --project-domain "$SERVICE_DOMAIN_NAME" service
    openstack role add --user alliance --user-domain "$SERVICE_DOMAIN_NAME" --system all reader
}

function configure_alliance {
    sudo install -d -o "$STACK_USER" -m 0750 "$ALLIANCE_CONF_DIR" "$ALLIANCE_STATE"
    install -m 0600 /dev/null "$ALLIANCE_CONF_DIR/keystone-password"
    printf '%s\n' "$SERVICE_PASSWORD" > "$ALLIANCE_CONF_DIR/keystone-password"
    "$ALLIANCE_PROGRAM" init --config "$ALLIANCE_CONF" --name "$ALLIANCE_NAME" \
        --set "cloud.state_dir=$ALLIANCE_STATE" \
        --set "delegate.socket=$ALLIANCE_SOCKET" \
        --set "peer.listen=0.0.0.0:$ALLIANCE_PORT" \
        --set "peer.url=$ALLIANCE_URL" \
        --set "keystone.auth_url=$KEYSTONE_SERVICE_URI/v3" \
        --set "keystone.password_file=$ALLIANCE_CONF_DIR/keystone-password" \
        --set "keystone.user_domain_name=$SERVICE_DOMAIN_NAME" \
        --set "keystone.project_name=$SERVICE_PROJECT_NAME" \
        --set "keystone.project_domain_name=$SERVICE_DOMAIN_NAME" \
        --set "services.memcached=[\"${MEMCACHE_SERVERS:-localhost:11211}\"]" \
        --set "catalog.allow_http=true"
    "$ALLIANCE_PROGRAM" config check --config "$ALLIANCE_CONF"
}

function configure_keystone_for_alliance {
    local inner section methods
    inner=$(iniget "$KEYSTONE_CONF" token provider)
    # Run again, it finds its own name there.
    if [[ "$inner" != alliance ]]; then
        iniset "$KEYSTONE_CONF" alliance inner_provider "${inner:-fernet}"
        iniset "$KEYSTONE_CONF" token provider alliance
    fi
    methods=$(iniget "$KEYSTONE_CONF" auth methods)
    methods=${methods:-external,password,token,oauth1,mapped,application_credential}
    if [[ ",$methods," != *,alliance,* ]]; then
        iniset "$KEYSTONE_CONF" auth methods "$methods,alliance"
    fi
    for section in $ALLIANCE_DRIVERS; do
        iniset "$KEYSTONE_CONF" "$section" driver alliance
    done
    iniset "$KEYSTONE_CONF" alliance socket "$ALLIANCE_SOCKET"
    iniset "$KEYSTONE_CONF" alliance snapshot "$ALLIANCE_STATE/keystone.json"
    # One Keystone: nobody is there who would not accept a tag.
    iniset "$KEYSTONE_CONF" alliance tag_tokens true
}

function unconfigure_keystone_for_alliance {
    local inner section
    inner=$(iniget "$KEYSTONE_CONF" alliance inner_provider)
    [[ -n "$inner" ]] || return 0
    iniset "$KEYSTONE_CONF" token provider "$inner"
    for section in $ALLIANCE_DRIVERS; do
        iniset "$KEYSTONE_CONF" "$section" driver sql
    done
}

if is_service_enabled alliance; then
    case "$1:${2:-}" in
        stack:install)
            echo_summary "Installing Alliance"
            install_alliance
            ;;
        stack:post-config)
            echo_summary "Configuring Alliance"
            create_alliance_account
            configure_alliance
            run_process alliance "$ALLIANCE_PROGRAM serve --config $ALLIANCE_CONF"
            configure_keystone_for_alliance
            stop_keystone
            start_keystone
            ;;
        stack:extra)
            echo_summary "Checking Alliance"
            # What it finds is shown, and stops nothing: nobody is paired yet.
            "$ALLIANCE_PROGRAM" doctor --config "$ALLIANCE_CONF" \
                --keystone-conf "$KEYSTONE_CONF" || true
            ;;
        unstack:*)
            stop_process alliance
            ;;
        clean:*)
            unconfigure_keystone_for_alliance
            sudo rm -rf "$ALLIANCE_CONF_DIR" "$ALLIANCE_STATE" "$ALLIANCE_PROGRAM"
            ;;
    esac
fi
