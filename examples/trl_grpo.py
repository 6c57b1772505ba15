"""GRPO with TRL on Firesteel's problems: accuracy first, then the same with a price on thinking.

    pip install 'firesteel[train,trl]'
    firesteel export kindling-hf
    python examples/trl_grpo.py kindling-hf

Any model with a chat template that transformers opens will do. The numbers below are for a try on a CPU; more prompts,
more samples and vLLM are GRPOConfig's business.
"""

from __future__ import annotations

import argparse

import torch
from transformers import AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from firesteel.train.adapters.trl import dataset, reward_funcs, row_strength

FAMILIES = ("chain_sum", "compare", "letters")


def main() -> None:
    parser = argparse.ArgumentParser(description="GRPO with TRL on Firesteel's problems.")
    parser.add_argument("model", help="A directory that transformers opens.")
    parser.add_argument("--out", default="runs/trl", help="Where to.")
    parser.add_argument("--steps", type=int, default=20, help="Updates of each phase.")
    options = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(options.model, padding_side="left")
    if "<|message|>" in tokenizer.get_vocab():  # a Muse template writes the strength itself
        tokenizer.chat_template = row_strength(tokenizer.chat_template)
    model = options.model
    for phase, scale in (("accuracy", 0.0), ("compression", 1.0)):
        trainer = GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=reward_funcs(tokenizer, scale),
            train_dataset=dataset(1000, FAMILIES, strengths=("low", "medium", "high"), seed=int(scale)),
            args=GRPOConfig(
                output_dir=f"{options.out}/{phase}",
                max_steps=options.steps,
                loss_type="cispo",
                epsilon_high=5.0,
                scale_rewards="batch",
                beta=0.0,
                num_generations=8,
                per_device_train_batch_size=32,
                max_completion_length=192,
                learning_rate=1e-5,
                warmup_steps=2,
                logging_steps=1,
                report_to="none",
                use_cpu=not torch.cuda.is_available(),
            ),
        )
        trainer.train()
        trainer.save_model(f"{options.out}/{phase}")
        model = trainer.model


if __name__ == "__main__":
    main()
