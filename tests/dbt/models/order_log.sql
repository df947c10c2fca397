{{ config(materialized='incremental', unique_key='id') }}
select id, customer_id, amount, at from {{ ref('stg_orders') }}
{% if is_incremental() %}
where at > (select max(at) from {{ this }})
{% endif %}
