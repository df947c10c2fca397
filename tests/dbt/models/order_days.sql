{{ config(materialized='incremental') }}
select date_trunc('day', at) as day, count(*) as orders from {{ ref('stg_orders') }}
{% if is_incremental() %}
where at > (select max(day) + interval '1 day' from {{ this }})
{% endif %}
group by 1
