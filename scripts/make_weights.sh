#!/usr/bin/env bash
# Trains every shipped model again, from an empty build/ to build/*/final, in the order in which they need each other.
# Each step can be stopped and goes on where it was; HANDLOOM_TRAIN_FLAGS is added to every training, so that
# HANDLOOM_TRAIN_FLAGS="--training.steps 4" tries the whole chain.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

HANDLOOM=.venv/bin/handloom
RECIPES=(
    configs/recon/vq_mano.yaml
    configs/synth/text_to_mesh.yaml
    configs/synth/handclip.yaml
    configs/synth/autoencoder.yaml
    configs/synth/controlnet.yaml
)
IMAGES=${HANDLOOM_TRAIN_IMAGES:-10000}

$HANDLOOM render --num-images "$IMAGES" --size 128 --out build/world/train
$HANDLOOM render --num-images "$((IMAGES / 10))" --size 128 --split validation --out build/world/validation
for recipe in "${RECIPES[@]}"; do
    echo "handloom: $recipe" >&2
    # shellcheck disable=SC2086 # the flags are words on purpose
    $HANDLOOM train "$recipe" ${HANDLOOM_TRAIN_FLAGS:-}
done
