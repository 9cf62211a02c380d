# Keystone's image with the plugin in it, made where the wheel is (dist/ of scripts/package):
#   docker build --file keystone.Dockerfile --build-arg KEYSTONE=… --tag REGISTRY/alliance/keystone:TAG dist
ARG KEYSTONE=quay.io/openstack.kolla/keystone:2026.2-debian-bookworm
FROM ${KEYSTONE}
USER root
COPY keystone_alliance-*.whl /tmp/
# What it needs comes with Keystone.
RUN /var/lib/kolla/venv/bin/pip install --no-cache-dir --no-deps /tmp/keystone_alliance-*.whl \
    && rm /tmp/keystone_alliance-*.whl
USER keystone
