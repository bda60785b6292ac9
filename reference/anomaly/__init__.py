"""The anomaly model: learns what sound instruments and tissue look like, from frames without any defect."""
