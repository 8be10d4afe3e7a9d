//! A report as one JSON document.

use itertools::Itertools;
use serde_json::{Map, Value, json};

use super::Report;
use super::effects::Effect;
use super::summary::Group;
use crate::text::number;
use pallium_record::outcome::Status;

impl Report {
    /// Everything except the figures.
    pub fn document(&self) -> Value {
        let run = &self.run;
        let manifest = &run.manifest;
        let organization: Vec<Value> = self.organization.iter().flatten().flatten().map(group).collect();
        let statistics: Map<String, Value> = run
            .tasks
            .iter()
            .zip(&self.statistics)
            .map(|(task, s)| {
                let found = json!({
                    "kruskal": [number(s.analysis.kruskal.statistic), number(s.analysis.kruskal.p)],
                    "effects": s.effects.iter().map(effect).collect::<Vec<_>>(),
                    "points": s.points.iter().map(effect).collect::<Vec<_>>(),
                });
                (task.label.clone(), found)
            })
            .collect();
        let learning: Map<String, Value> = (0..run.tasks.len())
            .map(|t| {
                let document = self.learning[t].document(&run.variants, &self.statistics[t].effects);
                (run.tasks[t].label.clone(), document)
            })
            .collect();
        let papers = self.papers();
        let uncounted: Vec<Value> = run
            .whole_trainings()
            .filter(|c| c.status != Status::Ok)
            .map(|c| {
                json!({
                    "variant": run.variants[c.variant],
                    "task": run.tasks[c.task].label,
                    "run": c.run,
                    "status": c.status.to_string(),
                })
            })
            .collect();
        json!({
            "folder": run.root.display().to_string(),
            "experiment": manifest.experiment,
            "profile": manifest.profile,
            "switches": manifest.switches,
            "seed": manifest.seed,
            "runs": manifest.runs,
            "field": run.field(),
            "variants": run.variants,
            "tasks": run.tasks.iter().map(|t| {
                let levels = t.info.as_ref().and_then(|i| i.levels);
                json!({
                    "task": t.label,
                    "chance": levels.map(|l| l.chance),
                    "memoryless": levels.and_then(|l| l.memoryless),
                    "ideal": levels.and_then(|l| l.ideal),
                })
            }).collect::<Vec<_>>(),
            "cells": {
                "all": manifest.cells,
                "ok": run.count(|s| *s == Status::Ok),
                "diverged": run.count(|s| *s == Status::Diverged),
                "failed": run.count(|s| matches!(s, Status::Failed(_))),
                "missing": run.missing,
            },
            "in_short": self.in_short(),
            "accuracy": self.accuracy.iter().flatten().map(group).collect::<Vec<_>>(),
            "running_accuracy": self.running.iter().flatten().map(group).collect::<Vec<_>>(),
            "organization": organization,
            "statistics": statistics,
            "learning": learning,
            "published": (!papers.is_empty()).then(|| json!({
                "source": super::published::SOURCE,
                "table": papers.iter().map(|p| p.name()).join(", "),
                "accuracy": self.accuracy_tally(),
                "organization": self.organization_tally(),
                "departures": self.departures(),
            })),
            "uncounted": uncounted,
        })
    }
}

/// A group; values that do not exist are null.
pub fn group(group: &Group) -> Value {
    json!({
        "variant": group.variant,
        "task": group.task,
        "split": group.split,
        "measure": group.measure,
        "n": group.values.len(),
        "mean": group.mean,
        "interval": group.interval,
        "above_memoryless": group.above_memoryless,
        "diverged": group.diverged,
        "failed": group.failed,
        "missing": group.missing,
        "published": group.published,
        "verdict": group.verdict.as_ref().map(|verdict| verdict.name()),
        "why": group.verdict.as_ref().map(|verdict| verdict.why()),
    })
}

fn effect(effect: &Effect) -> Value {
    json!({
        "name": effect.name,
        "meaning": effect.meaning,
        "factor": effect.factor,
        "pairs": effect.pairs,
        "difference": number(effect.difference),
        "cliffs_delta": number(effect.delta),
        "p": number(effect.p),
        "holm": number(effect.holm),
    })
}
